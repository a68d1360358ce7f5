import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  InvalidValue,
  parseDestinationRoot,
  parseDurationMs,
  parseMode,
  parsePathTemplate,
  parseSizeBytes,
  parseSourceKind,
  parseWhole,
} from "../../daemon/config-values.ts";

describe("durations", () => {
  test.for([
    ["250ms", 250],
    ["30s", 30_000],
    ["5m", 300_000],
    ["1h30m", 5_400_000],
    ["1m 05s", 65_000],
    ["1.5s", 1500],
    ["90", 90_000],
    [90, 90_000],
    ["2D", 172_800_000],
    ["0", 0],
  ] as const)("%s is %d ms", ([text, ms]) => {
    expect(parseDurationMs(text)).toBe(ms);
  });

  test.for(["", "soon", "-5s", "5x", "5m3", "s", "1e3", "NaN", "1".repeat(50)])(
    "%j is none",
    (text) => expect(() => parseDurationMs(text)).toThrow(InvalidValue),
  );

  test("bounds are in milliseconds and named", () => {
    expect(() => parseDurationMs("10ms", 100)).toThrow("between 100ms and 7d");
    expect(() => parseDurationMs("8d")).toThrow("7d");
  });

  test("whole seconds and minutes add up", () =>
    fc.assert(
      fc.property(fc.nat(59), fc.nat(59), (minutes, seconds) => {
        expect(parseDurationMs(`${minutes}m${seconds}s`)).toBe(
          (minutes * 60 + seconds) * 1000,
        );
      }),
    ));
});

describe("sizes", () => {
  test.for([
    ["512MB", 512_000_000],
    ["512MiB", 536_870_912],
    ["1.5 kb", 1500],
    ["2GiB", 2_147_483_648],
    ["4096", 4096],
    [4096, 4096],
  ] as const)("%s is %d bytes", ([text, bytes]) => {
    expect(parseSizeBytes(text, 0, 1024 ** 4)).toBe(bytes);
  });

  test.for(["", "big", "-1", "5 m", "1e9", "512MBit"])("%j is none", (text) =>
    expect(() => parseSizeBytes(text, 0, 1024 ** 4)).toThrow(InvalidValue),
  );

  test("bounds hold on both sides", () => {
    expect(() => parseSizeBytes("9", 10, 1024 ** 3)).toThrow("1GiB");
    expect(() => parseSizeBytes("2GiB", 10, 1024 ** 3)).toThrow("10 bytes");
  });
});

test("whole numbers have no other spelling", () => {
  expect(parseWhole("12", 1, 64)).toBe(12);
  for (const text of ["", "1.0", "0x10", "1e1", " ", "-1", "65"]) {
    expect(() => parseWhole(text, 1, 64)).toThrow(InvalidValue);
  }
});

test("a mode has a long and a short form, and no inherited one", () => {
  expect(parseMode("append")).toBe("full-refresh-append");
  expect(parseMode("Full-Refresh-Overwrite")).toBe("full-refresh-overwrite");
  expect(() => parseMode("toString")).toThrow(InvalidValue);
});

test("sources are told by their scheme", () => {
  expect(parseSourceKind("POSTGRESQL://h/d")).toBe("postgres");
  expect(() => parseSourceKind("oracle://h/d")).toThrow("oracle://");
  expect(() => parseSourceKind("/tmp/out")).toThrow("is no URL");
});

test.for([
  ["out", "/base/out"],
  ["./a/../out", "/base/out"],
  ["/data/out", "/data/out"],
  ["file:///data/o%20ut", "/data/o ut"],
  ["C", "/base/C"],
])("the destination %s is %s", ([text, root]) => {
  expect(parseDestinationRoot(text ?? "", "/base")).toBe(root);
});

test.for(["", "  ", "s3://b/k", "postgres://h/d", "file://otherhost/x"])(
  "the destination %j is refused",
  (text) =>
    expect(() => parseDestinationRoot(text, "/base")).toThrow(InvalidValue),
);

test.for(["{namespace}/{stream}", "{stream}", "raw/{namespace}.{stream}/v1"])(
  "the template %s is taken",
  (text) => expect(parsePathTemplate(text)).toBe(text),
);

test.for([
  "",
  "data",
  "{namespace}",
  "/{stream}",
  "../{stream}",
  "a//{stream}",
  "a/./{stream}",
  "{stream}/{day}",
  "a\\{stream}",
  ".millrace/{stream}",
])("the template %j is refused", (text) =>
  expect(() => parsePathTemplate(text)).toThrow(InvalidValue),
);
