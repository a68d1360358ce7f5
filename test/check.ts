/**
 * `npm run check`: everything that can be said about the code without running it. One line per check with its time;
 * what a failing one has to say follows its line. One after the other: each of them uses the cores that there are.
 */
import { spawnSync } from "node:child_process";
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

function runTool(name: string, ...args: readonly string[]): Outcome {
  const { status, stdout, stderr, error } = spawnSync(
    join(toolFolder, name),
    args,
    {
      cwd: repositoryRoot,
      env: toolEnv,
      encoding: "utf8",
      maxBuffer: OUTPUT_BYTES_MAX,
    },
  );
  return {
    passed: status === 0,
    note: "",
    output: `${stdout ?? ""}${stderr ?? ""}${error?.message ?? ""}`,
  };
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
  readonly run: () => Outcome;
}[] = [
  { name: "types", run: () => runTool("tsc", "--noEmit") },
  {
    name: "lint",
    run: () => runTool("oxlint", "--type-aware", "--deny-warnings"),
  },
  {
    name: "format",
    run: () => runTool("prettier", "--check", "--log-level=warn", "."),
  },
  { name: "arrows", run: runArrows },
  { name: "dead code", run: () => runTool("knip", "--no-progress") },
];

let failed = 0;
for (const { name, run } of checks) {
  const startedAt = performance.now();
  const { passed, note, output } = run();
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(
    `${name.padEnd(10)} ${seconds.padStart(5)} s  ${passed ? "ok" : "FAILED"}${note === "" ? "" : `  ${note}`}`,
  );
  if (!passed) {
    failed += 1;
    console.log(output.trimEnd());
  }
}
process.exitCode = failed === 0 ? 0 : 1;
