/** A process that takes one attempt at a run, tells each step, and waits for a word before the next. */
import { createInterface } from "node:readline";
import { Bookkeeper, type RunPlan } from "./bookkeeper.ts";

const [url, planText] = process.argv.slice(2);
if (!url || !planText) throw new Error("usage: crash-writer-main <url> <plan>");
const words = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

try {
  await new Bookkeeper(JSON.parse(planText) as RunPlan).attempt(
    url,
    async (step) => {
      process.stdout.write(`${step}\n`);
      await words.next();
    },
  );
  process.stdout.write("done\n");
} catch (error) {
  process.stdout.write(
    `failed ${String((error as { code?: unknown }).code)}\n`,
  );
}
process.exit();
