/** Reads the imports of the whole tree and compares them with the arrows of `.dependency-cruiser.mjs`. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const repositoryRoot = fileURLToPath(new URL("..", import.meta.url));

export const toolFolder = join(repositoryRoot, "node_modules", ".bin");

/** The tools run on the project's own Node, whichever the shell has. */
export const toolEnv = {
  ...process.env,
  PATH: `${toolFolder}:${process.env["PATH"] ?? ""}`,
};

/** The report grows with the tree; it is far below this. */
const REPORT_BYTES_MAX = 64 * 1024 * 1024;

const sourceFolders = [
  "proto",
  "partitioning",
  "checkpoint",
  "transport",
  "actors",
  "connectors",
  "daemon",
  "deploy",
  "test",
] as const;

export interface ArrowReport {
  /** `rule: from → to`, one for each import that goes against an arrow. */
  readonly violations: readonly string[];
  /** TypeScript files of the folders that were read. */
  readonly filesSeen: readonly string[];
  /** TypeScript files on disk that were not: the rules say nothing about them. */
  readonly filesMissed: readonly string[];
  readonly importsSeen: number;
}

interface CruiseResult {
  readonly modules: readonly {
    readonly source: string;
    readonly dependencies: readonly unknown[];
  }[];
  readonly summary: {
    readonly violations: readonly {
      readonly from: string;
      readonly to: string;
      readonly rule: { readonly name: string };
    }[];
  };
}

/** @param root a folder with the tree, `.dependency-cruiser.mjs`, `tsconfig.json` and `package.json` */
export function checkArrows(root: string): ArrowReport {
  const folders = sourceFolders.filter((name) => existsSync(join(root, name)));
  const result = spawnSync(
    join(toolFolder, "depcruise"),
    [
      ...["--config", ".dependency-cruiser.mjs", "--output-type", "json"],
      ...folders,
    ],
    { cwd: root, env: toolEnv, encoding: "utf8", maxBuffer: REPORT_BYTES_MAX },
  );
  // the exit code counts violations; without a report it is a failure of the tool itself
  if (!result.stdout.startsWith("{")) {
    throw new Error(`dependency-cruiser failed: ${result.stderr}`);
  }
  const { modules, summary } = JSON.parse(result.stdout) as CruiseResult;
  const seen = new Set(modules.map(({ source }) => source));
  const onDisk = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .map((name) => `${folder}/${name}`)
      .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts")),
  );
  return {
    violations: summary.violations.map(
      ({ rule, from, to }) => `${rule.name}: ${from} → ${to}`,
    ),
    filesSeen: onDisk.filter((name) => seen.has(name)),
    filesMissed: onDisk.filter((name) => !seen.has(name)),
    importsSeen: modules.reduce((sum, m) => sum + m.dependencies.length, 0),
  };
}
