/** What callers rely on: the declarations of the package as text, and a program of theirs that is compiled with them. */
import { execFile } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, inject, onTestFinished, test } from "vitest";
import { repositoryRoot, toolEnv, toolFolder } from "../arrows.ts";

test("the declarations are those that were agreed on: a change of theirs is one for every caller", async () => {
  const folder = join(inject("builtFolder"), "dist/library");
  const files = readdirSync(folder).filter((name) => name.endsWith(".d.ts"));
  const text = files
    .toSorted()
    .map((name) => `// ${name}\n${readFileSync(join(folder, name), "utf8")}`)
    .join("\n");
  await expect(text).toMatchFileSnapshot("api.txt");
});

const program = `
import { ExtractError, openSource, readTable, sync, type SyncSummary, type TableBatch, type Value } from "millrace";
interface Order { id: number; amount: string | null }
export async function run(url: string): Promise<SyncSummary> {
  for await (const order of readTable<Order>(url, "orders", { where: "id > 1", columns: ["id"] })) {
    const id: number = order.id;
    // @ts-expect-error a decimal is its digits
    const amount: number = order.amount;
    void [id, amount];
  }
  for await (const row of readTable(url, "orders")) {
    const value: Value | undefined = row["id"];
    void value;
  }
  await using source = await openSource(url, { tables: ["orders"], connections: 2 });
  const batches: AsyncIterable<TableBatch<Order>> = source.table<Order>("orders").batches();
  for await (const batch of batches) for (const { id } of batch.rows()) void id.toFixed();
  try {
    // @ts-expect-error there is no such mode
    await sync({ source: url, destination: "./out", mode: "sometimes" });
  } catch (error) {
    if (error instanceof ExtractError) void [error.code.length, error.summary?.tables];
  }
  return sync({ source: url, destination: "./out", onEvent: (event) => { if (event.type === "table") void event.table.rows; } });
}
`;

test("a caller's program is compiled with them, strictly and without looking past them", async () => {
  const root = mkdtempSync(join(tmpdir(), "millrace-caller-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const modules = join(root, "node_modules");
  mkdirSync(join(modules, "@types"), { recursive: true });
  symlinkSync(inject("builtFolder"), join(modules, "millrace"));
  symlinkSync(
    join(repositoryRoot, "node_modules/@types/node"),
    join(modules, "@types/node"),
  );
  writeFileSync(join(root, "package.json"), '{"type": "module"}');
  writeFileSync(join(root, "caller.ts"), program);
  const { stdout } = await promisify(execFile)(
    join(toolFolder, "tsc"),
    [
      ...["--noEmit", "--strict", "--module", "nodenext", "--target", "es2024"],
      ...["--lib", "es2024"],
      ...["--types", "node", "--exactOptionalPropertyTypes"],
      ...["--noUncheckedIndexedAccess", "caller.ts"],
    ],
    { cwd: root, env: toolEnv },
  ).catch((error: { stdout: string }) => ({ stdout: error.stdout }));
  expect(stdout).toBe("");
}, 60_000);
