import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { describe, expect, test } from "vitest";

import {
  fileDestinationSchema,
  toFileDestinationConfig,
} from "../../../../connectors/destinations/file/config-schema.ts";

describe("the file destination in YAML", () => {
  test("a root is enough", () => {
    const value = fileDestinationSchema.parse({ kind: "file", root: "/data" });
    expect(toFileDestinationConfig(value)).toEqual({
      root: "/data",
      pathTemplate: "{namespace}/{stream}",
      fileBytesMax: 536_870_912,
      format: { format: "parquet", compression: null, plainEncodings: false },
    });
  });

  test("all faults are told at once, with their paths", () => {
    const result = fileDestinationSchema.safeParse({
      kind: "file",
      root: "data",
      pathTemplate: "{table}",
      fileBytesMax: 10,
      format: "xls",
      colour: "red",
    });
    expect(
      result.error?.issues.map((issue) => issue.path.join(".")).toSorted(),
    ).toEqual(["", "fileBytesMax", "format", "pathTemplate", "root"]);
    expect(JSON.stringify(result.error?.issues)).toContain(
      "{table} is unknown",
    );
  });
});

test("the schema library is not loaded where rows are written", () => {
  const folder = fileURLToPath(
    new URL("../../../../connectors/destinations/file/", import.meta.url),
  );
  const script = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
    await import("${folder}writer.ts");
    await import("${folder}commit.ts");
    console.log(JSON.stringify(loaded));`;
  const output = execFileSync(
    process.execPath,
    ["--input-type=module", "--eval", script],
    { encoding: "utf8" },
  );
  const loaded = JSON.parse(output) as string[];
  expect(loaded.some((url) => url.endsWith("file/writer.ts"))).toBe(true);
  expect(loaded.filter((url) => /node_modules/.test(url))).toEqual([]);
});
