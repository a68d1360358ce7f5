/** Steps behind one another: names, keys, faults, and what is passed on without a copy. */
import { describe, expect, test } from "vitest";
import {
  mapperSets,
  type MapperStep,
} from "../../../connectors/mappers/config.ts";
import {
  createMapper,
  type MapperUse,
} from "../../../connectors/mappers/mapper.ts";
import type { LogicalKind, StreamSchema } from "../../../proto/schema.ts";
import {
  buildBatch,
  buildSchema,
  type TestRow,
} from "../../fixtures/batches.ts";
import { kindCases } from "../formats/kinds.ts";
import { appendOnly, listFaults, mapRows, runStep } from "./rows.ts";

const orders: StreamSchema = {
  ...buildSchema({
    id: "int64",
    email: "text",
    state: "text",
    amount: { kind: "decimal64", precision: 10, scale: 2 },
    changed: "timestamptz",
  }),
  key: ["id"],
};
const rows: TestRow[] = [
  [1n, "anna@example.com", "paid", "10.00", 0n],
  [2n, null, "open", "20.00", 1n],
  [3n, "bea@example.com", "void", null, 2n],
];
const salt = "a salt of the test, secret";
const aesKey = "00".repeat(32);
const merging: MapperUse = { mergeKey: ["id"], cursor: "changed" };

test("steps work on what the step before has left", () => {
  const steps: MapperStep[] = [
    { rename: { email: "contact", state: "status" } },
    { filter: "status in ('paid', 'open')" },
    { mask: { columns: ["contact"], email: true } },
    { drop: ["changed"] },
    { select: ["status", "contact", "id"] },
    { filter: "contact is not null" },
  ];
  const mapper = createMapper(orders, steps, appendOnly);
  expect(mapper.schema.columns.map(({ name }) => name)).toEqual([
    "status",
    "contact",
    "id",
  ]);
  expect(mapRows(mapper, orders, rows)).toEqual([
    ["paid", "a***@example.com", 1n],
  ]);
});

test("columns can swap their names", () => {
  const step = { rename: { email: "state", state: "email" } };
  const { schema } = createMapper(orders, [step], appendOnly);
  expect(schema.columns.map(({ name }) => name).slice(1, 3)).toEqual([
    "state",
    "email",
  ]);
  expect(runStep(orders, step, rows)).toEqual(rows);
});

test("without steps, schema and batch are what they were", () => {
  const mapper = createMapper(orders, [], appendOnly);
  const batch = buildBatch(orders, rows);
  expect(mapper.schema).toBe(orders);
  expect(mapper.apply(batch)[0]).toBe(batch);
});

test("columns that no step names are passed on without a copy", () => {
  const batch = buildBatch(orders, rows);
  const steps: MapperStep[] = [
    { hash: { columns: ["email"] } },
    { filter: "id > 0" },
  ];
  const [mapped] = createMapper(orders, steps, appendOnly).apply(batch);
  batch.columns.forEach((column, i) => {
    if (i === 1) expect(mapped!.columns[i]).not.toBe(column);
    else expect(mapped!.columns[i]).toBe(column);
  });
});

test("a batch that is borrowed is not written to", () => {
  const kinds = Object.keys(kindCases) as LogicalKind[];
  const schema = buildSchema(
    Object.fromEntries(kinds.map((kind) => [kind, kindCases[kind].type])),
  );
  const row = kinds.map((kind) => kindCases[kind].edges[1]!);
  const batch = buildBatch(schema, [row, row.map(() => null), row]);
  const copy = structuredClone(batch);
  const steps: MapperStep[] = [
    { filter: "int32 = -1" },
    { hash: { columns: kinds.slice(0, 10), salt } },
    { mask: { columns: ["text", "json", "date"], keepLast: 1 } },
    { encrypt: { columns: ["uuid"], method: "aes-256-gcm", key: aesKey } },
  ];
  createMapper(schema, steps, appendOnly).apply(batch);
  expect(batch).toEqual(copy);
});

test("no row left is no batch", () => {
  const mapper = createMapper(orders, [{ filter: "id > 5" }], appendOnly);
  expect(mapper.apply(buildBatch(orders, rows))).toEqual([]);
});

describe("the fingerprint", () => {
  const print = (steps: readonly MapperStep[]) =>
    createMapper(orders, steps, appendOnly).schema.fingerprint;

  test("is the same for the same steps, and another for others", () => {
    const variants: MapperStep[][] = [
      [],
      [{ drop: ["email"] }],
      [{ rename: { email: "mail" } }],
      [{ filter: "id > 1" }],
      [{ filter: "id > 2" }],
      [{ hash: { columns: ["email"] } }],
      [{ hash: { columns: ["email"], salt } }],
      [{ hash: { columns: ["email"], salt: `${salt}!` } }],
      [{ mask: { columns: ["email"], keepLast: 1 } }],
      [{ encrypt: { columns: ["email"], method: "aes-256-gcm", key: aesKey } }],
      [
        {
          encrypt: {
            columns: ["email"],
            method: "aes-256-gcm",
            key: "11".repeat(32),
          },
        },
      ],
    ];
    const prints = variants.map(print);
    expect(new Set(prints).size).toBe(variants.length);
    expect(variants.map(print)).toEqual(prints);
  });

  test("changes with the source's", () => {
    const steps = [{ drop: ["email"] }];
    const changed = { ...orders, fingerprint: "other" };
    expect(
      createMapper(changed, steps, appendOnly).schema.fingerprint,
    ).not.toBe(print(steps));
  });
});

describe("the key", () => {
  test.for<{ step: MapperStep; key: string[] | undefined }>([
    { step: { rename: { id: "number" } }, key: ["number"] },
    { step: { hash: { columns: ["id"], salt } }, key: ["id"] },
    { step: { mask: { columns: ["id"], keepLast: 1 } }, key: undefined },
    {
      step: {
        encrypt: { columns: ["id"], method: "aes-256-gcm", key: aesKey },
      },
      key: undefined,
    },
    { step: { drop: ["id"] }, key: undefined },
    { step: { select: ["email"] }, key: undefined },
    { step: { filter: "id > 1" }, key: ["id"] },
  ])("behind $step is $key", ({ step, key }) => {
    expect(createMapper(orders, [step], appendOnly).schema.key).toEqual(key);
  });

  test("of several columns keeps its order, or goes whole", () => {
    const schema = {
      ...buildSchema({ a: "int32", b: "int32", c: "int32" }),
      key: ["c", "a"],
    };
    const keyBehind = (step: MapperStep) =>
      createMapper(schema, [step], appendOnly).schema.key;
    expect(keyBehind({ select: ["a", "b", "c"] })).toEqual(["c", "a"]);
    expect(keyBehind({ rename: { a: "x" } })).toEqual(["c", "x"]);
    expect(keyBehind({ drop: ["a"] })).toBeUndefined();
  });

  test.for<{ step: MapperStep; fault: RegExp | null }>([
    { step: { drop: ["id"] }, fault: /rows are merged on id.*left out/ },
    { step: { select: ["email", "changed"] }, fault: /merged on id/ },
    { step: { mask: { columns: ["id"], keepLast: 1 } }, fault: /masked/ },
    {
      step: {
        encrypt: { columns: ["id"], method: "aes-256-gcm", key: aesKey },
      },
      fault: /encrypted/,
    },
    { step: { drop: ["changed"] }, fault: /newest row is found by changed/ },
    { step: { hash: { columns: ["changed"] } }, fault: /changed.*hashed/ },
    { step: { hash: { columns: ["id"], salt } }, fault: null },
    { step: { rename: { id: "number", changed: "at" } }, fault: null },
  ])("that rows are merged on: $step", ({ step, fault }) => {
    const faults = listFaults(orders, [step], merging);
    if (fault === null) expect(faults).toEqual([]);
    else expect(faults.join("\n")).toMatch(fault);
    // where rows are only added, nothing hinders
    const adding = { mergeKey: null, cursor: "changed" };
    expect(listFaults(orders, [step], adding)).toEqual([]);
  });

  test("under another name is still the key", () => {
    const steps = [{ rename: { id: "number" } }, { drop: ["number"] }];
    expect(listFaults(orders, steps, merging).join()).toMatch(
      /merged on number/,
    );
  });

  test("hidden in rows, its values stay in positions, and that is said", () => {
    const warned = createMapper(
      orders,
      [{ hash: { columns: ["id", "email"] } }, { drop: ["changed"] }],
      { mergeKey: null, cursor: "changed" },
    ).warnings;
    expect(warned).toEqual([
      expect.stringContaining("id is a key or cursor column"),
      expect.stringContaining("changed is a key or cursor column"),
    ]);
  });

  test("a filter where rows are merged is warned of", () => {
    const { warnings } = createMapper(orders, [{ filter: "id > 1" }], merging);
    expect(warnings.join()).toMatch(/stays as it was/);
  });
});

test("all faults are told at once, with path and nearest name", () => {
  const steps: MapperStep[] = [
    { select: ["id", "emial", "state", "amount", "amount"] },
    { rename: { stat: "status", amount: "id" } },
    { hash: { columns: ["amont"], salt } },
    { mask: { columns: ["amount"], email: true } },
  ];
  expect(listFaults(orders, steps)).toEqual([
    "0.select.1: there is no column emial; did you mean email?",
    "0.select.4: amount is named twice",
    "1.rename.stat: there is no column stat; did you mean state?",
    "1.rename: two columns would be called id",
    "2.hash.columns.0: there is no column amont",
    "3.mask.columns.0: there is no column amount",
  ]);
  let message = "";
  try {
    createMapper(orders, steps, appendOnly);
  } catch (error) {
    expect(error).toMatchObject({ code: "CONFIG_INVALID" });
    message = (error as Error).message;
  }
  expect(message).toContain("public.rows");
  expect(message).toContain(
    "steps[0].select[1]: there is no column emial; did you mean email?",
  );
  expect(message).toContain("steps[1].rename.stat");
  expect(message).not.toContain(salt);
});

describe("the configuration", () => {
  const issuesOf = (sets: unknown) => {
    const result = mapperSets.safeParse(sets);
    return (result.error?.issues ?? []).map(
      ({ path, message }) => `${path.join(".")}: ${message}`,
    );
  };

  test("takes every kind of step", () => {
    const steps: MapperStep[] = [
      { select: ["a"] },
      { drop: ["b"] },
      { rename: { a: "b" } },
      { filter: "a > 1" },
      { hash: { columns: ["a"], salt, output: "binary" } },
      { encrypt: { columns: ["a"], method: "rsa-oaep", key: "PEM" } },
      { mask: { columns: ["a"], keepLast: 4 } },
      { mask: { columns: ["a"], email: true } },
      { mask: { columns: ["a"], text: "" } },
    ];
    expect(
      mapperSets.parse([{ tables: ["public.*"], steps }, { steps }]),
    ).toEqual([{ tables: ["public.*"], steps }, { steps }]);
  });

  test.for<{ name: string; step: unknown; issue: RegExp }>([
    { name: "nothing", step: {}, issue: /say one of select/ },
    { name: "two", step: { drop: ["a"], select: ["b"] }, issue: /say one of/ },
    { name: "a stranger", step: { drpo: ["a"] }, issue: /drpo/ },
    {
      name: "a short salt",
      step: { hash: { columns: ["a"], salt: "pepper" } },
      issue: /salt.*16/,
    },
    {
      name: "two masks",
      step: { mask: { columns: ["a"], keepLast: 1, text: "x" } },
      issue: /say one of keepLast/,
    },
    { name: "no columns", step: { drop: [] }, issue: /drop/ },
    {
      name: "an unknown method",
      step: { encrypt: { columns: ["a"], method: "rot13", key: "5ecre7 key" } },
      issue: /method/,
    },
  ])("refuses $name", ({ step, issue }) => {
    const issues = issuesOf([{ steps: [step] }]).join("\n");
    expect(issues).toMatch(issue);
    expect(issues).not.toMatch(/pepper|5ecre7/);
  });
});
