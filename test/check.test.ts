import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  checkArrows,
  repositoryRoot,
  toolEnv,
  toolFolder,
  type ArrowReport,
} from "./arrows.ts";

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders)
    rmSync(folder, { recursive: true, force: true });
});

/** A small tree with the project's own rules. */
function plantTree(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "millrace-check-"));
  folders.push(folder);
  for (const name of [
    ".dependency-cruiser.mjs",
    ".oxlintrc.json",
    "tsconfig.json",
    "package.json",
  ])
    copyFileSync(join(repositoryRoot, name), join(folder, name));
  symlinkSync(
    join(repositoryRoot, "node_modules"),
    join(folder, "node_modules"),
  );
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

test("the arrows are silent over imports that follow them, and see each file", () => {
  const tree = plantTree({
    "proto/leaf.ts": "export const leaf = 1;\n",
    "partitioning/plan.ts":
      'import { leaf } from "../proto/leaf.ts";\nexport const plan = leaf;\n',
    // a circle of types is erased
    "transport/a.ts":
      'import type { B } from "./b.ts";\nexport type A = B[];\n',
    "transport/b.ts":
      'import type { A } from "./a.ts";\nexport type B = A | 1;\n',
  });
  expect(checkArrows(tree)).toEqual({
    violations: [],
    filesSeen: [
      "proto/leaf.ts",
      "partitioning/plan.ts",
      "transport/a.ts",
      "transport/b.ts",
    ],
    filesMissed: [],
    importsSeen: 3,
  });
});

/** Each is planted as the only import of `from`. */
const violations = [
  ["proto-is-the-bottom", "proto/a.ts", "transport/a.ts"],
  ["partitioning-is-pure", "partitioning/a.ts", "transport/a.ts"],
  ["pure-folders-do-no-io", "partitioning/b.ts", "node:fs"],
  ["checkpoint-knows-positions-only", "checkpoint/a.ts", "transport/a.ts"],
  ["checkpoint-io-is-in-store", "checkpoint/b.ts", "checkpoint/store/a.ts"],
  ["transport-moves-bytes", "transport/b.ts", "checkpoint/a.ts"],
  ["machines-name-effects", "actors/a/a.machine.ts", "transport/a.ts"],
  ["machines-do-no-io", "actors/a/b.machine.ts", "node:child_process"],
  ["machines-meet-no-effects", "actors/a/c.machine.ts", "actors/a/main.ts"],
  ["processes-leave-the-daemon-alone", "actors/a/main.ts", "daemon/leaf.ts"],
  ["sources-read-only", "connectors/sources/a/a.ts", "daemon/leaf.ts"],
  [
    "sources-are-strangers",
    "connectors/sources/a/b.ts",
    "connectors/sources/b/leaf.ts",
  ],
  [
    "destinations-write-only",
    "connectors/destinations/a/a.ts",
    "transport/a.ts",
  ],
  [
    "destinations-are-strangers",
    "connectors/destinations/a/b.ts",
    "connectors/destinations/b/leaf.ts",
  ],
  [
    "mappers-change-columns",
    "connectors/mappers/a.ts",
    "connectors/destinations/b/leaf.ts",
  ],
  [
    "channels-join-rows-and-sockets",
    "connectors/channels/a.ts",
    "actors/a/a.machine.ts",
  ],
  [
    "formats-are-bytes",
    "connectors/formats/a.ts",
    "connectors/destinations/b/leaf.ts",
  ],
  [
    "airbyte-is-words",
    "connectors/airbyte/a.ts",
    "connectors/destinations/b/leaf.ts",
  ],
  [
    "json-is-bytes",
    "connectors/json/a.ts",
    "connectors/destinations/b/leaf.ts",
  ],
  ["daemon-loads-no-driver", "daemon/a.ts", "pg"],
  ["daemon-reads-configs", "daemon/b.ts", "connectors/sources/b/leaf.ts"],
  ["drivers-stay-in-their-source", "actors/a/b.ts", "pg"],
  ["sqlite-is-the-ledger", "daemon/c.ts", "node:sqlite"],
  ["nothing-imports-test", "daemon/d.ts", "test/leaf.ts"],
  ["nothing-imports-deploy", "daemon/e.ts", "deploy/leaf.ts"],
  ["shipped-code-imports-shipped-packages", "daemon/f.ts", "fast-check"],
  ["every-import-resolves", "daemon/g.ts", "daemon/nowhere.ts"],
  ["no-circles", "daemon/h.ts", "daemon/i.ts"],
] as const;

describe("the alarm of the arrows", () => {
  let report: ArrowReport;
  beforeAll(() => {
    const files: Record<string, string> = {
      // the other half of the circle
      "daemon/i.ts":
        'import { value as other } from "./h.ts";\nexport const value = () => other;\n',
    };
    for (const leaf of [
      "transport/a.ts",
      "checkpoint/store/a.ts",
      "daemon/leaf.ts",
      "connectors/sources/b/leaf.ts",
      "connectors/destinations/b/leaf.ts",
      "test/leaf.ts",
      "deploy/leaf.ts",
    ])
      files[leaf] = "export const value = 1;\n";
    for (const [rule, from, to] of violations) {
      const up = "../".repeat(from.split("/").length - 1);
      const specifier = to.endsWith(".ts") ? up + to : to;
      // the arrows hold for types too, except in circles
      files[from] =
        rule === "no-circles"
          ? `import { value as other } from "${specifier}";\nexport const value = () => other;\n`
          : `import type * as other from "${specifier}";\nexport type Value = typeof other;\n`;
    }
    report = checkArrows(plantTree(files));
  });

  test.for(violations)("rings for %s: %s imports %s", ([rule, from, to]) => {
    // what does not resolve, and packages, are reported by another path than they are written
    const target = to.split("/").at(-1)?.replace("node:", "");
    const pattern = `^${rule}: ${from} → .*${target}`;
    expect(report.violations).toContainEqual(
      expect.stringMatching(new RegExp(pattern)),
    );
  });

  test("has a planted violation for each rule", async () => {
    const config = (await import(
      join(repositoryRoot, ".dependency-cruiser.mjs")
    )) as { default: { forbidden: { name: string }[] } };
    expect(new Set(violations.map(([rule]) => rule))).toEqual(
      new Set(config.default.forbidden.map(({ name }) => name)),
    );
  });
});

describe("the linter", () => {
  test.for([
    {
      rule: "no-floating-promises",
      text: "export function start(): void {\n  Promise.resolve(1);\n}\n",
    },
    {
      rule: "switch-exhaustiveness-check",
      text: 'export function name(x: "a" | "b"): number {\n  switch (x) {\n    case "a":\n      return 1;\n  }\n  return 0;\n}\n',
    },
  ])("refuses what types alone show: $rule", ({ rule, text }) => {
    const tree = plantTree({ "proto/bad.ts": text });
    const result = spawnSync(
      join(toolFolder, "oxlint"),
      ["--type-aware", "--deny-warnings", "proto"],
      { cwd: tree, env: toolEnv, encoding: "utf8" },
    );
    expect(result.stdout).toContain(rule);
    expect(result.status).toBe(1);
  });
});
