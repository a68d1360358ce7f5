import { describe, expect, test } from "vitest";
import { BatchSet } from "../../../../../connectors/sources/batches/batch-set.ts";
import { openChangeDecoder } from "../../../../../connectors/sources/debezium/events/decoder.ts";
import { ChangeEvent } from "../../../../../connectors/sources/debezium/events/event.ts";
import { formatQuarantine } from "../../../../../connectors/sources/debezium/events/quarantine.ts";
import { readBatch } from "../../../../fixtures/batch-rows.ts";
import { ExtractError } from "../../../../../proto/error.ts";
import { BATCH_BYTES_MAX } from "../../../../../proto/columns.ts";
import { loadGolden, toParts } from "./golden.ts";
import {
  envelope,
  forms,
  Harness,
  makeTable,
  mysql,
  place,
  postgres,
  readEvent,
  UNAVAILABLE,
} from "./support.ts";

const table = makeTable(
  [
    ["a", { kind: "int32" }],
    ["b", { kind: "text" }],
    ["v", { kind: "text" }],
    ["ok", { kind: "boolean" }],
    ["big", { kind: "binary" }],
    ["n", { kind: "decimal128", precision: 38, scale: 2 }],
  ],
  ["a", "b"],
);
const row = (a: number, b: string, rest: string): string =>
  `{"a":${a},"b":"${b}",${rest}}`;
const rest = `"v":"x","ok":true,"big":"AP8=","n":"1.50"`;
const nulls = `"v":null,"ok":null,"big":null,"n":null`;
const full = { ...postgres, beforeImage: "full" } as const;
const position = (number: number): string =>
  `00000001-0000000016b374d84800-${String(number).padStart(10, "0")}`;
const values = {
  v: "x",
  ok: true,
  big: new Uint8Array([0, 255]),
  n: "1.50",
};
const change = {
  _ts: 1_795_276_284_143_123n,
  _deleted: false,
  _unchanged: "[]",
  _old_key: null,
};

describe.each(forms)("what an event of %s becomes", (form) => {
  test("an insertion, with what happened and where", () => {
    const harness = new Harness(table, postgres, form);
    expect(harness.append({ after: row(1, "x", rest), order: 3 })).toBe(
      "appended",
    );
    expect(harness.last).toEqual({
      a: 1,
      b: "x",
      ...values,
      ...change,
      _op: "c",
      _position: position(6),
    });
  });

  test("an update without its row before", () => {
    const harness = new Harness(table, postgres, form);
    harness.append({
      op: "u",
      key: '{"a":1,"b":"x"}',
      after: row(1, "x", rest),
    });
    expect(harness.last).toMatchObject({ a: 1, _op: "u", _old_key: null });
    expect(harness.rows).toHaveLength(1);
  });

  test("a row that a snapshot of Debezium's has read", () => {
    const harness = new Harness(table, postgres, form);
    harness.append({ op: "r", after: row(1, "x", rest) });
    expect(harness.last).toMatchObject({ _op: "r", _position: position(2) });
  });

  test("a deletion of which the log has the key alone", () => {
    const harness = new Harness(table, postgres, form);
    harness.append({ op: "d", before: row(2, "x", nulls) });
    expect(harness.last).toEqual({
      ...change,
      a: 2,
      b: "x",
      v: null,
      ok: null,
      big: null,
      n: null,
      _op: "d",
      _deleted: true,
      _unchanged: '["v","ok","big","n"]',
      _position: position(2),
    });
  });

  test("a deletion without any row before is told by its key", () => {
    const harness = new Harness(table, postgres, form);
    harness.append({ op: "d", key: '{"b":"x","a":2}' });
    expect(harness.last).toMatchObject({ a: 2, b: "x", _op: "d" });
    expect(() => harness.append({ op: "d" })).toThrow(/without the row's key/);
    expect(harness.rows).toHaveLength(1);
  });

  test("a deletion of which the log has the whole row", () => {
    const harness = new Harness(table, full, form);
    harness.append({ op: "d", before: row(2, "x", rest) });
    expect(harness.last).toMatchObject({
      ...values,
      _op: "d",
      _deleted: true,
      _unchanged: "[]",
    });
  });

  test("a truncation has no values at all", () => {
    const harness = new Harness(table, postgres, form);
    harness.append({ op: "t" });
    expect(harness.last).toMatchObject({
      a: null,
      b: null,
      v: null,
      _op: "t",
      _deleted: true,
      _unchanged: "[]",
    });
  });

  test("a key's change as Debezium tells it: the second half knows the old key", () => {
    const harness = new Harness(table, postgres, form);
    harness.append({
      op: "d",
      before: row(1, "x", nulls),
      headers: '{"__debezium.newkey":{"a":5,"b":"x"}}',
      order: 2,
    });
    for (const old of [
      '{"a":1,"b":"é\\n"}',
      '{"schema":{"type":"struct"},"payload":{"a":1,"b":"é\\n"}}',
    ]) {
      harness.append({
        after: row(5, "x", rest),
        headers: `{"__debezium.oldkey":${old}}`,
        order: 3,
      });
      expect(harness.last).toMatchObject({
        a: 5,
        _op: "c",
        _old_key: '["1","é\\n"]',
        _position: position(6),
      });
    }
    expect(harness.rows[0]?.[6]).toBe("d");
  });

  test("an update with another key is a deletion and an update", () => {
    const harness = new Harness(table, { ...mysql }, form);
    harness.append({
      op: "u",
      before: row(1, "x", rest),
      after: row(5, "x", rest),
    });
    const [first, second] = harness.rows;
    expect(first?.slice(0, 2)).toEqual([1, "x"]);
    expect(first?.slice(6)).toEqual([
      "d",
      position(2),
      change._ts,
      true,
      "[]",
      null,
    ]);
    expect(second?.slice(0, 2)).toEqual([5, "x"]);
    expect(second?.slice(6)).toEqual([
      "u",
      position(3),
      change._ts,
      false,
      "[]",
      '["1","x"]',
    ]);
    expect(harness.rows).toHaveLength(2);
    harness.append({
      op: "u",
      before: row(5, "x", rest),
      after: row(5, "x", rest),
    });
    expect(harness.rows).toHaveLength(3);
  });

  test("an update whose key the log does not watch is refused", () => {
    const harness = new Harness(table, postgres, form);
    expect(() =>
      harness.append({ op: "u", key: '{"a":1}', after: row(1, "x", rest) }),
    ).toThrow(expect.objectContaining({ code: "SOURCE_LOG_UNUSABLE" }));
    expect(harness.rows).toEqual([]);
  });

  test("values that the log does not hold are NULL and named", () => {
    const harness = new Harness(table, postgres, form);
    const base64 = Buffer.from(UNAVAILABLE).toString("base64");
    harness.append({
      op: "u",
      key: '{"a":1,"b":"x"}',
      after: row(
        1,
        "x",
        `"v":"${UNAVAILABLE}","ok":true,"big":"${base64}","n":"${UNAVAILABLE}"`,
      ),
    });
    expect(harness.last).toMatchObject({
      v: null,
      ok: true,
      big: null,
      n: null,
      _unchanged: '["v","big","n"]',
    });
    harness.append({ after: row(1, "x", rest) });
    expect(harness.last).toMatchObject({ ...values, _unchanged: "[]" });
  });

  test("the transaction's name, where it is wanted", () => {
    const harness = new Harness(
      table,
      { ...postgres, transactionId: true },
      form,
    );
    harness.append({ after: row(1, "x", rest) });
    expect(harness.last["_txid"]).toBe("733");
  });

  test("columns in another order, and some that are left out", () => {
    const harness = new Harness(
      table,
      {
        ...postgres,
        leftOut: new Set(["secret"]),
      },
      form,
    );
    harness.append({
      after: `{"n":"1.50","secret":{"x":[1]},"big":"AP8=","ok":true,"\\u0076":"x","b":"x","a":1}`,
    });
    expect(harness.last).toMatchObject({ a: 1, b: "x", ...values });
  });
});

describe.each(forms)("a table that has changed, by %s", (form) => {
  test.for([
    {
      name: "a column more",
      after: row(1, "x", `${rest},"extra":1`),
      found: { column: "extra", change: "added" },
    },
    {
      name: "a column less",
      after: row(1, "x", `"v":"x","ok":true,"n":"1.50"`),
      found: { column: "big", change: "missing" },
    },
    {
      name: "a number where text was",
      after: row(1, "x", `"v":7,"ok":true,"big":"AP8=","n":"1.50"`),
      found: { column: "v", change: "type" },
    },
    {
      name: "more digits than the column had",
      after: row(1, "x", `"v":"x","ok":true,"big":"AP8=","n":"1.505"`),
      found: { column: "n", change: "type" },
    },
    {
      name: "a larger integer than the column had",
      after: `{"a":2147483648,"b":"x",${rest}}`,
      found: { column: "a", change: "type" },
    },
  ])("$name is told, and nothing is appended", ({ after, found }) => {
    const harness = new Harness(table, postgres, form);
    harness.append({ after: row(9, "y", nulls) });
    const before = harness.rows;
    expect(harness.append({ after })).toMatchObject({
      kind: "schemaChanged",
      ...found,
    });
    expect(harness.rows).toEqual(before);
    harness.append({ after: row(1, "x", rest) });
    expect(harness.rows).toHaveLength(2);
    expect(harness.last).toMatchObject({ a: 1, ...values });
  });
});

describe("events that cannot be read", () => {
  const form = "lines";
  test.for([
    ['{"op":"c"', /ends too early/],
    ["[1]", /no object/],
    ["7", /no object/],
    ['{"a":1}', /of no kind/],
    ['{"op":"c","after":{"a":1}}', /where it comes from/],
    [envelope({ op: "q", after: "{}" }), /operation q/],
    [envelope({ op: "c" }), /without its row/],
    [
      envelope({
        op: "d",
        before: row(1, "x", rest),
        after: row(1, "x", rest),
      }),
      /a row behind it/,
    ],
    [envelope({ op: "c", after: "[]" }), /after is no row/],
    [`{"op":"c","op":"d","source":{}}`, /op is there twice/],
    [`{"status":"MAYBE","id":"1"}`, /status MAYBE/],
    ['{"schema":{},"payload":3}', /payload is no object/],
  ] as const)("%s", ([value, message]) => {
    expect(() => readEvent(value)).toThrow(message);
    try {
      readEvent(value);
    } catch (error) {
      expect(error).toMatchObject({ code: "SOURCE_EVENT_INVALID" });
    }
  });

  test.for([
    [`{"a":1,"b":"x","a":1,${rest}}`, /a is there twice/],
    [`{"a":null,"b":"x",${rest}}`, /without a value of a/],
  ] as const)("a row %s", ([after, message]) => {
    const harness = new Harness(table, postgres, form);
    expect(() => harness.append({ after })).toThrow(message);
    expect(harness.rows).toEqual([]);
  });

  test("the error says where, and the quarantine keeps what can be kept", () => {
    const harness = new Harness(table, postgres, form);
    const value = envelope({
      after: row(
        1,
        "x",
        `"v":"${"y".repeat(100_000)}","ok":true,"big":"?","n":"1"`,
      ),
    });
    const event = readEvent(value, { key: '{"a":1}' });
    let caught: unknown = null;
    try {
      openChangeDecoder(table, postgres);
      harness.append({ after: `{"a":null,"b":"x",${rest}}` });
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(ExtractError);
    const error = caught as ExtractError;
    expect(error.details).toMatchObject({
      position: "00000001-0000000016b374d84800-",
      table: "public.orders",
      number: 7,
    });
    const line = formatQuarantine(event, {
      stream: "public.orders",
      position: position(2),
      error,
    });
    expect(line).not.toContain("\n");
    const kept = JSON.parse(line);
    expect(kept).toMatchObject({
      stream: "public.orders",
      code: "SOURCE_EVENT_INVALID",
      key: Buffer.from('{"a":1}').toString("base64"),
      valueBytes: value.length,
    });
    expect(Buffer.from(kept.value, "base64").length + 7).toBe(64 * 1024);
  });
});

describe.each(forms)("batches of %s", (form) => {
  test("a full one takes nothing, and the event goes into the next", () => {
    const harness = new Harness(table, postgres, form, 4);
    const event = harness.read({ after: row(1, "x", rest) });
    const appended = (set: BatchSet): number => {
      while (harness.decoder.append(event, place, set) === "appended");
      return set.rowCount;
    };
    expect(appended(harness.set)).toBe(3);
    expect(harness.set.isFull).toBe(true);
    harness.set.reset();
    expect(appended(harness.set)).toBe(3);
  });

  test("bytes fill one too, but a single row may be larger", () => {
    const harness = new Harness(table, postgres, form);
    const large = "z".repeat(BATCH_BYTES_MAX / 2);
    const after = row(1, "x", `"v":"${large}","ok":true,"big":"","n":"1"`);
    expect(harness.append({ after })).toBe("appended");
    expect(harness.append({ after })).toBe("full");
    harness.set.reset();
    const larger = row(
      1,
      "x",
      `"v":"${large.repeat(3)}","ok":true,"big":"","n":"1"`,
    );
    expect(harness.append({ after: larger })).toBe("appended");
    expect(String(harness.last["v"])).toHaveLength(large.length * 3);
  });
});

describe("what the decoder is opened for", () => {
  test("a table without a key, or with a part of one", () => {
    const columns = [["a", { kind: "int32" }]] as const;
    for (const key of [[], ["a", "b"]]) {
      expect(() =>
        openChangeDecoder(makeTable(columns, key), postgres),
      ).toThrow(expect.objectContaining({ code: "SOURCE_LOG_UNUSABLE" }));
    }
  });

  test("columns that the log has in other words are all named", () => {
    const odd = makeTable([
      ["a", { kind: "int32" }],
      ["t", { kind: "text" }, "time with time zone"],
      ["m", { kind: "text" }, "money"],
      ["d", { kind: "text" }, "some_domain"],
    ]);
    const declaredTypes = new Map([["d", "money"]]);
    expect(() =>
      openChangeDecoder(odd, { ...postgres, declaredTypes }),
    ).toThrow(/t \(time with time zone\).*m \(money\).*d \(money\)/);
  });
});

test("real events of one log are told apart, and a changed key keeps its old one", () => {
  const golden = loadGolden("postgres");
  const event = new ChangeEvent();
  const kinds = golden.events.map((recorded, i) => {
    event.read(toParts(recorded, i + 1));
    const what =
      event.kind === "change" ? `${event.table}:${event.op}` : event.kind;
    return event.kind === "transaction"
      ? `${what}:${event.transaction?.status}`
      : what;
  });
  const ofChanges = kinds.filter(
    (kind) => !/^(transaction|heartbeat|every_type|odd)/.test(kind),
  );
  expect(ofChanges).toEqual([
    ...["o:c", "o:c", "o:u", "o:d", "tombstone", "o:c", "o:d", "tombstone"],
    ...["f:c", "f:u", "f:d", "tombstone", "f:c", "f:d", "tombstone"],
    ...["i:c", "i:u", "i:d", "tombstone", "i:c", "i:d", "tombstone"],
    ...["message", "o:t", "f:t", "message", "o:c", "o:c", "o:c", "o:c"],
  ]);
  expect(kinds).toContain("heartbeat");
  expect(
    kinds.filter((kind) => kind === "transaction:BEGIN").length,
  ).toBeGreaterThanOrEqual(
    kinds.filter((kind) => kind === "transaction:END").length,
  );
  const columns = makeTable(
    [
      ["a", { kind: "int32" }],
      ["b", { kind: "text" }],
      ["v", { kind: "text" }],
      ["big", { kind: "text" }],
    ],
    ["a", "b"],
  );
  const decoder = openChangeDecoder(columns, postgres);
  const set = new BatchSet(decoder.fields, 64);
  const harness = { rows: [] as unknown[] };
  for (const [i, recorded] of golden.events.entries()) {
    event.read(toParts(recorded, i + 1));
    if (event.kind !== "change" || event.table !== "o") continue;
    harness.rows.push(decoder.append(event, place, set));
  }
  expect(harness.rows.slice(0, 7)).toEqual(Array(7).fill("appended"));
  // a column was added, then another type given, then the column dropped
  expect(harness.rows.slice(7)).toMatchObject([
    { change: "added", column: "extra" },
    { change: "added", column: "extra" },
    { change: "type", column: "v" },
    { change: "type", column: "v" },
  ]);
});

test.each(["mysql", "mariadb"] as const)(
  "real events of %s are told apart, definitions among them",
  (connector) => {
    const golden = loadGolden(connector);
    const event = new ChangeEvent();
    const found: string[] = [];
    const statements: (string | null)[] = [];
    for (const [i, recorded] of golden.events.entries()) {
      event.read(toParts(recorded, i + 1));
      if (event.kind === "schemaChange") statements.push(event.ddl);
      if (event.kind === "change" && event.table === "o") {
        found.push(String(event.op));
      }
    }
    expect(found).toEqual(["c", "c", "u", "d", "c", "d", "t", "c"]);
    expect(statements.at(-1)).toMatch(/^ALTER TABLE o ADD COLUMN extra/);
    const table = makeTable(
      [
        ["a", { kind: "int32" }],
        ["b", { kind: "text" }],
        ["v", { kind: "text" }],
      ],
      ["a", "b"],
    );
    const decoder = openChangeDecoder(
      { ...table, namespace: "s", name: "o" },
      { ...mysql, connector },
    );
    const set = new BatchSet(decoder.fields, 64);
    const results = golden.events.flatMap((recorded, i) => {
      event.read(toParts(recorded, i + 1));
      return event.kind === "change" &&
        event.isOf(Buffer.from("s"), Buffer.from("o"))
        ? [decoder.append(event, place, set)]
        : [];
    });
    expect(results.slice(0, 7)).toEqual(Array(7).fill("appended"));
    expect(results[7]).toMatchObject({ change: "added", column: "extra" });
    const rows = readBatch(decoder.schema, set.toBatch(decoder.fields.length));
    expect(
      rows.map(([a, b, v, op, , , , , oldKey]) => [a, b, v, op, oldKey]),
    ).toEqual([
      [1, "x", "v", "c", null],
      [2, "y", null, "c", null],
      [1, "x", "w", "u", null],
      [1, "x", "w", "d", null],
      [5, "x", "w", "c", '["1","x"]'],
      [2, "y", null, "d", null],
      [null, null, null, "t", null],
    ]);
  },
);
