/**
 * Runs each file of `stages/` in a process of its own, so that none of them profits or suffers from what another has
 * taught the optimiser. Each exports `run`, which gives one flat object per line.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";

interface Stage {
  run(): unknown;
}

const self = fileURLToPath(import.meta.url);
const folder = fileURLToPath(new URL("./stages/", import.meta.url));

/** @returns whether all of them ran to their end */
export function runStages(): boolean {
  let whole = true;
  for (const name of readdirSync(folder).filter((n) => n.endsWith(".ts"))) {
    console.log(`\n${name.replace(/\.ts$/, "")}`);
    const result = spawnSync(process.execPath, [self, join(folder, name)], {
      stdio: "inherit",
    });
    whole &&= result.status === 0;
  }
  return whole;
}

if (isMainThread && process.argv[1] === self && process.argv[2] !== undefined) {
  const stage = (await import(process.argv[2])) as Stage;
  const rows = (await stage.run()) as readonly object[] | undefined;
  if (rows !== undefined) console.table(rows);
}
