import fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  checkDistinctFolders,
  dataNameOfSidecar,
  fileName,
  generationFolder,
  manifestTemporaryName,
  parseDataName,
  parseFileName,
  parseGenerationFolder,
  parseManifestTemporaryName,
  parseTemporaryName,
  sidecarName,
  streamFolder,
  taggedName,
  temporaryName,
} from "../../../../connectors/destinations/layout/names.ts";
import {
  FOLDER_NAME_BYTES_MAX,
  encodeIdentifier,
  parsePathTemplate,
} from "../../../../connectors/destinations/layout/path-template.ts";
import { ExtractError } from "../../../../proto/error.ts";

const count = fc.oneof(fc.integer({ min: 0, max: 1_000_000 }), fc.maxSafeNat());
const place = fc.record({
  partition: count,
  epoch: count,
  checkpoint: count,
  number: count,
});
const extension = fc.constantFrom(
  ".parquet",
  ".csv",
  ".csv.gz",
  ".csv.zst",
  ".jsonl",
  ".jsonl.gz",
  ".avro",
);
const tag = fc.stringMatching(/^[0-9a-f]{8}$/);
const identifier = fc
  .oneof(
    fc.string({ minLength: 1, maxLength: 40, unit: "binary" }),
    fc.string({
      minLength: 1,
      maxLength: 6,
      unit: fc.constantFrom(...Array.from("._-%~/=aA0é")),
    }),
    fc.string({ minLength: 100, maxLength: 300, unit: "grapheme" }),
  )
  .filter((text) => text.isWellFormed());

describe("file names", () => {
  test("the documented example", () => {
    const name = fileName(
      { partition: 3, epoch: 1, checkpoint: 4, number: 0 },
      ".parquet",
    );
    expect(name).toBe("p00003-e001-s000004-00.parquet");
  });

  test("parsing undoes naming", () =>
    fc.assert(
      fc.property(place, extension, (at, ending) => {
        expect(parseFileName(fileName(at, ending))).toEqual({
          ...at,
          extension: ending,
        });
      }),
    ));

  test("what parses is exactly what naming gives", () => {
    const digits = fc.stringMatching(/^[0-9]{1,8}$/);
    fc.assert(
      fc.property(
        fc.tuple(digits, digits, digits, digits, extension),
        ([p, e, s, n, ending]) => {
          const name = `p${p}-e${e}-s${s}-${n}${ending}`;
          const parsed = parseFileName(name);
          if (parsed) expect(fileName(parsed, ending)).toBe(name);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test.for([
    "p00003-e001-s000004-00.parquet.tmp",
    "p00003-e001-s000004-00.txt",
    "p00003-e001-s000004-00",
    "p00003-e001-s000004-00.parquet.gz",
    "p3-e1-s4-0.parquet",
    "p000003-e001-s000004-00.parquet",
    "P00003-e001-s000004-00.parquet",
    "xp00003-e001-s000004-00.parquet",
    "p00003-e001-s000004-00.parquet\n",
    "p9999999999999999-e001-s000004-00.parquet",
    "../p00003-e001-s000004-00.parquet",
    "",
  ])("%j is not ours", (name) => {
    expect(parseFileName(name)).toBeNull();
  });

  test("no two places share a name, nor do a place and a temporary", () =>
    fc.assert(
      fc.property(place, place, tag, (a, b, drawn) => {
        const names = [a, b].map((at) => fileName(at, ".parquet"));
        const same = JSON.stringify(a) === JSON.stringify(b);
        expect(names[0] === names[1]).toBe(same);
        const temporary = temporaryName({ ...a, tag: drawn });
        expect(parseFileName(temporary)).toBeNull();
        expect(temporary.endsWith(".parquet")).toBe(false);
      }),
    ));

  test("names given before the checkpoint is known are data names of their own kind", () =>
    fc.assert(
      fc.property(place, tag, extension, (at, drawn, ending) => {
        const { partition, epoch, number } = at;
        const tagged = taggedName(
          { partition, epoch, number, tag: drawn },
          ending,
        );
        const parsed = { partition, epoch, number, extension: ending };
        expect(parseDataName(tagged)).toEqual(parsed);
        expect(parseDataName(fileName(at, ending))).toEqual(parsed);
        expect(parseFileName(tagged)).toBeNull();
        expect(parseTemporaryName(tagged)).toBeNull();
      }),
    ));

  test.for([
    "p00003-e001-w1f09c3aa-00.tmp",
    "p00003-e001-w1f09c3aa-00",
    "p00003-e001-w1F09C3AA-00.parquet",
    "p00003-e001-w1f09c3a-00.parquet",
    "p0003-e001-w1f09c3aa-00.parquet",
    "p000003-e001-w1f09c3aa-00.parquet",
    ".p00003-e001-w1f09c3aa-00.csv.checkpoint.json",
  ])("%j is no data file", (name) => {
    expect(parseDataName(name)).toBeNull();
  });

  test("temporaries, sidecars, manifests' temporaries and generations parse back", () =>
    fc.assert(
      fc.property(
        place,
        tag,
        extension,
        fc.integer({ min: 1 }),
        (at, drawn, ending, generation) => {
          const { partition, epoch, number } = at;
          const temporary = { partition, epoch, number, tag: drawn };
          expect(parseTemporaryName(temporaryName(temporary))).toEqual(
            temporary,
          );
          const name = fileName(at, ending);
          const tagged = taggedName(temporary, ending);
          for (const data of [name, tagged])
            expect(dataNameOfSidecar(sidecarName(data))).toBe(data);
          const manifest = { generation, epoch, tag: drawn };
          expect(
            parseManifestTemporaryName(manifestTemporaryName(manifest)),
          ).toEqual(manifest);
          expect(parseGenerationFolder(generationFolder(generation))).toBe(
            generation,
          );
        },
      ),
    ));

  test.for(["g1", "g0000001", "g000000", "generation", "G000001"])(
    "%j is no generation of ours",
    (name) => {
      expect(parseGenerationFolder(name)).toBeNull();
    },
  );
});

describe("stream folders", () => {
  test.for([
    { identifier: "Orders_2024-a", folder: "Orders_2024-a" },
    { identifier: "..", folder: "%2E%2E" },
    { identifier: ".hidden", folder: "%2Ehidden" },
    { identifier: "_staging_", folder: "%5Fstaging_" },
    { identifier: "a/b", folder: "a%2Fb" },
    { identifier: "100%", folder: "100%25" },
    { identifier: "a b~c", folder: "a%20b%7Ec" },
    { identifier: "größe", folder: "gr%C3%B6%C3%9Fe" },
    { identifier: "k=v", folder: "k%3Dv" },
    { identifier: "\0", folder: "%00" },
  ])("$identifier becomes $folder", ({ identifier: text, folder }) => {
    expect(encodeIdentifier(text)).toBe(folder);
  });

  test("every folder name is safe and short", () =>
    fc.assert(
      fc.property(identifier, identifier, (namespace, name) => {
        const folder = streamFolder("{namespace}/{stream}", {
          namespace,
          name,
        });
        const segments = folder.split("/");
        expect(segments).toHaveLength(2);
        for (const segment of segments) {
          expect(segment).toMatch(/^[A-Za-z0-9%-][A-Za-z0-9_%~-]*$/);
          expect(segment.length).toBeLessThanOrEqual(FOLDER_NAME_BYTES_MAX);
        }
      }),
    ));

  test.for([
    "{namespace}/{stream}",
    "{namespace}.{stream}",
    "n={namespace}=s-{stream}",
  ])("two streams never share a folder under %s", (template) =>
    fc.assert(
      fc.property(
        fc.tuple(identifier, identifier),
        fc.tuple(identifier, identifier),
        ([namespaceA, nameA], [namespaceB, nameB]) => {
          const a = { namespace: namespaceA, name: nameA };
          const b = { namespace: namespaceB, name: nameB };
          const same = namespaceA === namespaceB && nameA === nameB;
          expect(streamFolder(template, a) === streamFolder(template, b)).toBe(
            same,
          );
        },
      ),
    ),
  );

  test("long names that differ only at their end stay apart", () => {
    const long = "x".repeat(300);
    const folders = ["a", "b"].map((end) =>
      streamFolder("{stream}", { namespace: "public", name: long + end }),
    );
    expect(folders[0]).not.toBe(folders[1]);
    expect(folders[0]).toHaveLength(FOLDER_NAME_BYTES_MAX);
  });

  test("a long name is not cut inside an escape", () => {
    for (let length = 150; length < 180; length += 1) {
      const folder = streamFolder("{stream}", {
        namespace: "public",
        name: "x".repeat(length) + "é".repeat(30),
      });
      expect(folder.replaceAll(/%[0-9A-F]{2}/g, "")).not.toContain("%");
    }
  });
});

describe("path templates", () => {
  test.for([
    "{stream}",
    "{namespace}/{stream}",
    "raw/{namespace}/table={stream}/data",
    "{namespace}.{stream}",
    "{stream}-v1.2",
  ])("%s is taken", (template) => {
    expect(parsePathTemplate(template).flat().length).toBeGreaterThan(0);
  });

  test.for([
    { template: "/data/{stream}", why: "relative" },
    { template: "C:/data/{stream}", why: "relative" },
    { template: "../{stream}", why: '".."' },
    { template: "a/../{stream}", why: '".."' },
    { template: "./{stream}", why: '"."' },
    { template: "{namespace}", why: "{stream}" },
    { template: "", why: "empty folder name" },
    { template: "a//{stream}", why: "empty folder name" },
    { template: "{stream}/", why: "empty folder name" },
    { template: "{table}/{stream}", why: "{table} is unknown" },
    { template: "{stream", why: '"{"' },
    { template: ".x/{stream}", why: "readers pass over" },
    { template: "_x/{stream}", why: "readers pass over" },
    { template: "a\\{stream}", why: '"\\"' },
    { template: "a b/{stream}", why: '" "' },
    { template: "{namespace}{stream}", why: "text between" },
    { template: "{namespace}-{stream}", why: ". or =" },
    { template: `${"x".repeat(201)}/{stream}`, why: "longer than 200" },
    { template: "{stream}/".repeat(200), why: "longer than 1000" },
  ])("$template is refused: $why", ({ template, why }) => {
    let thrown: unknown;
    try {
      parsePathTemplate(template);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(ExtractError);
    expect(thrown).toMatchObject({ code: "USAGE" });
    expect((thrown as ExtractError).message).toContain(why);
  });

  test("streams of two namespaces need {namespace} in the template", () => {
    const streams = [
      { namespace: "a", name: "orders" },
      { namespace: "b", name: "orders" },
    ];
    expect(() => checkDistinctFolders("{stream}", streams)).toThrow(
      /a\.orders and b\.orders/,
    );
    expect(() =>
      checkDistinctFolders("{namespace}/{stream}", streams),
    ).not.toThrow();
  });
});
