/**
 * `npm run check`: everything that can be said about the code without running it. One line per check with its time;
 * what a failing one has to say follows its line. Two at a time: the longest two keep one core each.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { checkArrows, repositoryRoot, toolEnv, toolFolder } from "./arrows.ts";

const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

interface Outcome {
  readonly passed: boolean;
  /** Behind the time: what was looked at. */
  readonly note: string;
  /** Printed on failure. */
  readonly output: string;
}

function runTool(name: string, ...args: readonly string[]): Promise<Outcome> {
  const options = {
    cwd: repositoryRoot,
    env: toolEnv,
    encoding: "utf8",
    maxBuffer: OUTPUT_BYTES_MAX,
  } as const;
  return new Promise((resolve) => {
    execFile(join(toolFolder, name), args, options, (error, stdout, stderr) => {
      // what could not be started has nothing to say by itself
      const said = `${stdout}${stderr}`;
      resolve({
        passed: error === null,
        note: "",
        output: said === "" ? (error?.message ?? "") : said,
      });
    });
  });
}

function runArrows(): Outcome {
  const { violations, filesSeen, filesMissed, importsSeen } =
    checkArrows(repositoryRoot);
  const faults = [
    ...violations,
    ...filesMissed.map((name) => `not seen: ${name}`),
    ...(filesSeen.length === 0 || importsSeen === 0 ? ["no files seen"] : []),
  ];
  return {
    passed: faults.length === 0,
    note: `${filesSeen.length} files, ${importsSeen} imports`,
    output: `${faults.join("\n")}\nThe reason of each rule is in .dependency-cruiser.mjs.\n`,
  };
}

const checks: readonly {
  readonly name: string;
  readonly run: () => Outcome | Promise<Outcome>;
}[] = [
  { name: "types", run: () => runTool("tsc", "--noEmit") },
  { name: "format", run: () => runTool("oxfmt", "--check", ".") },
  {
    name: "lint",
    run: () => runTool("oxlint", "--type-aware", "--deny-warnings"),
  },
  { name: "arrows", run: runArrows },
  { name: "dead code", run: () => runTool("knip", "--no-progress") },
];

let failed = 0;
const rest = checks.values();

async function runInTurn(): Promise<void> {
  for (const { name, run } of rest) {
    const startedAt = performance.now();
    const { passed, note, output } = await run();
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    console.log(
      `${name.padEnd(10)} ${seconds.padStart(5)} s  ${passed ? "ok" : "FAILED"}${note === "" ? "" : `  ${note}`}`,
    );
    if (passed) continue;
    failed += 1;
    console.log(output.trimEnd());
  }
}

await Promise.all([runInTurn(), runInTurn()]);
process.exitCode = failed === 0 ? 0 : 1;
