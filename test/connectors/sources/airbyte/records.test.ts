import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readStreamSchema } from "../../../../connectors/airbyte/catalog.ts";
import { readFileReference } from "../../../../connectors/airbyte/file-reference.ts";
import { JsonRecord } from "../../../../connectors/sources/airbyte/json-records.ts";
import { addMetaColumns } from "../../../../connectors/sources/airbyte/record-columns.ts";
import {
  RecordDecoder,
  type DecoderSettings,
} from "../../../../connectors/sources/airbyte/record-decoder.ts";
import { readColumn } from "./read-column.ts";

const whole: DecoderSettings = {
  fields: [],
  policy: "error",
  meta: [],
  syncId: 7,
  generation: 3,
  rowBytesMax: 1 << 20,
  valueNulled: () => {},
  fieldIgnored: () => {},
};

function decode(
  properties: Record<string, object>,
  rows: readonly (object | string)[],
  settings: Partial<DecoderSettings> = {},
): Record<string, (string | null)[]> {
  const schema = addMetaColumns(
    readStreamSchema(
      { name: "things", json_schema: { properties } },
      { number: 1 },
    ),
    settings.meta ?? [],
  );
  const decoder = new RecordDecoder(schema, { ...whole, ...settings });
  const record = new JsonRecord();
  for (const row of rows) {
    const data = typeof row === "string" ? row : JSON.stringify(row);
    const line = Buffer.from(
      `{"type":"RECORD","record":{"stream":"things","emitted_at":1767225600123,"data":${data}}}`,
    );
    expect(record.read(line)).toBe(true);
    expect(decoder.append(record, record)).toBe("appended");
  }
  const taken = decoder.take();
  return Object.fromEntries(
    schema.columns.map(({ name, type }, index) => [
      name,
      taken
        ? readColumn(taken.batch.columns[index]!, type, taken.batch.rowCount)
        : [],
    ]),
  );
}

test("a file that is handed over as connectors did before there were references is one all the same", () => {
  const record = new JsonRecord();
  const read = (members: string) =>
    record.read(
      Buffer.from(
        `{"type":"RECORD","record":{"stream":"things","emitted_at":1,${members}}}`,
      ),
    );
  const file = `"file":{"file_url":"/staging/one","file_relative_path":"a/b.txt","bytes":12,"modified":1,"source_file_url":"s3://x"}`;
  for (const members of [`${file},"data":{}`, file, `"data":null,${file}`]) {
    expect(read(members)).toBe(true);
    expect(readFileReference(record.fileReference ?? "", "things")).toEqual({
      ...{ stagedPath: "/staging/one", relativePath: "a/b.txt", bytes: 12 },
    });
  }
  expect(read(`"data":{},"file":null`)).toBe(true);
  expect(record.fileReference).toBeNull();
  expect(() => read(`"data":null`)).toThrow(/record.data/);
  expect(read(`"data":{},"file":{"bytes":1}`)).toBe(true);
  expect(() => readFileReference(record.fileReference ?? "", "things")).toThrow(
    /no absolute path/,
  );
});

/** One value, as its column gives it back. */
function decodeOne(property: object, json: string): string | null {
  return decode({ v: property }, [`{"v":${json}}`])["v"]?.[0] ?? null;
}

const integer = { type: "integer" };
const number = { type: ["null", "number"] };
const big = { type: "number", airbyte_type: "big_integer" };
const date = { type: "string", format: "date" };
const zoned = {
  type: "string",
  format: "date-time",
  airbyte_type: "timestamp_with_timezone",
};
const local = {
  type: "string",
  format: "date-time",
  airbyte_type: "timestamp_without_timezone",
};
const clock = {
  type: "string",
  format: "time",
  airbyte_type: "time_without_timezone",
};

describe("values arrive exactly", () => {
  test.for([
    [integer, "9223372036854775807", "9223372036854775807"],
    [integer, "-9223372036854775808", "-9223372036854775808"],
    [integer, "1.0", "1"],
    [integer, "12e2", "1200"],
    [integer, '"42"', "42"],
    [big, "123456789012345678901234567890", "123456789012345678901234567890"],
    [big, "1.5e3", "1500"],
    [number, "0.1", "0.1"],
    [number, "1e300", "1e+300"],
    [number, "0.30000000000000004", "0.30000000000000004"],
    [date, '"2024-02-29"', "2024-02-29"],
    [date, '"2024-02-29T00:00:00Z"', "2024-02-29"],
    [zoned, '"2026-01-31T10:00:00+02:00"', "2026-01-31 08:00:00+00"],
    [zoned, '"2026-01-31 10:00:00.5Z"', "2026-01-31 10:00:00.5+00"],
    [zoned, '"1969-12-31T23:59:59.999999Z"', "1969-12-31 23:59:59.999999+00"],
    [local, '"2026-01-31T10:00"', "2026-01-31 10:00:00"],
    [clock, '"23:59:59.123456"', "23:59:59.123456"],
    [{ type: "string" }, '"a\\u00e9\\n\\ud83d\\ude00"', "aé\n😀"],
    [{ type: "string" }, "12.50", "12.50"],
    [{ type: "object" }, '{"a": [1, 2.50]}', '{"a": [1, 2.50]}'],
    [{ type: ["string", "integer"] }, '"x"', '"x"'],
    [{ type: "string", contentEncoding: "base64" }, '"AQID"', "\\x010203"],
  ] as const)("%o: %s", ([property, json, text]) => {
    expect(decodeOne(property, json)).toBe(text);
  });

  test("any integer of 64 bits", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        (n) => decodeOne(integer, String(n)) === String(n),
      ),
    );
  });

  test("any double", () => {
    fc.assert(
      fc.property(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        (n) => Number(decodeOne(number, JSON.stringify(n))) === n,
      ),
    );
  });
});

describe("what a column cannot hold is refused by its name", () => {
  test.for([
    [integer, "9223372036854775808", /64 bits/],
    [integer, "1.5", /no whole number/],
    [integer, '"many"', /no number/],
    [integer, "true", /boolean/],
    [number, "9007199254740993", /round/],
    [number, "0.12345678901234567890", /round/],
    [number, "1e999", /as large/],
    [date, '"2023-02-29"', /no date/],
    [date, '"2024-02-29T10:00:00Z"', /moment/],
    [zoned, '"yesterday"', /no date and time/],
    [zoned, '"2026-01-01T00:00:00.1234567Z"', /nanoseconds/],
    [local, '"2026-01-01T00:00:00+02:00"', /offset/],
    [clock, '"25:00:00"', /no time/],
    [{ type: "boolean" }, '"yes"', /text/],
    [{ type: "string", contentEncoding: "base64" }, '"%%"', /base64/],
  ] as const)("%o: %s", ([property, json, reason]) => {
    expect(() => decodeOne(property, json)).toThrow(reason);
  });

  test("a record that is refused leaves no trace in the batch", () => {
    const properties = { id: integer, flag: { type: "boolean" } };
    expect(() =>
      decode(properties, ['{"id":1,"flag":true}', '{"id":2,"flag":"x"}']),
    ).toThrow(/flag/);
  });

  test("NULL stands for it where that is wanted, and the change is told", () => {
    const nulled: string[] = [];
    const { v, _airbyte_meta: meta } = decode(
      { v: integer },
      ['{"v":1.5}', '{"v":2}'],
      {
        policy: "null",
        meta: ["_airbyte_meta"],
        valueNulled: (column, reason) => nulled.push(`${column}: ${reason}`),
      },
    );
    expect(v).toEqual([null, "2"]);
    expect(nulled).toEqual(["v: it is no whole number"]);
    expect(meta?.map((text) => JSON.parse(text ?? "") as unknown)).toEqual([
      {
        sync_id: 7,
        changes: [
          {
            field: "v",
            change: "NULLED",
            reason: "DESTINATION_TYPECAST_ERROR",
          },
        ],
      },
      { sync_id: 7, changes: [] },
    ]);
  });
});

test("what is missing is NULL, what is unknown is told once, what comes twice is refused", () => {
  const ignored: string[] = [];
  const properties = { a: integer, b: { type: "string" } };
  const columns = decode(
    properties,
    ['{"b":"x","c":1}', '{"a":2,"c":3,"b":null}'],
    { fieldIgnored: (name) => ignored.push(name) },
  );
  expect(columns).toEqual({ a: [null, "2"], b: ["x", null] });
  expect(ignored).toEqual(["c"]);
  expect(() => decode(properties, ['{"a":1,"a":2}'])).toThrow(/twice/);
});

test("columns that tell of the record", () => {
  const columns = decode({ a: integer }, ['{"a":1}', '{"a":2}'], {
    meta: [
      "_airbyte_raw_id",
      "_airbyte_extracted_at",
      "_airbyte_generation_id",
    ],
  });
  const ids = columns["_airbyte_raw_id"] ?? [];
  expect(new Set(ids).size).toBe(2);
  for (const id of ids)
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]/);
  expect(columns["_airbyte_extracted_at"]).toEqual([
    "2026-01-01 00:00:00.123+00",
    "2026-01-01 00:00:00.123+00",
  ]);
  expect(columns["_airbyte_generation_id"]).toEqual(["3", "3"]);
});

test.for([
  '{"type":"RECORD"}',
  '{"type":"RECORD","record":{"data":{},"emitted_at":1}}',
  '{"type":"RECORD","record":{"stream":"x","emitted_at":1}}',
  '{"type":"RECORD","record":{"stream":"x","data":[],"emitted_at":1}}',
  '{"type":"RECORD","record":{"stream":"x","data":{},"emitted_at":"now"}}',
  '{"type":"RECORD","record":{"stream":"x","data":{"a":',
])("%s is refused", (line) => {
  expect(() => new JsonRecord().read(Buffer.from(line))).toThrow(
    expect.objectContaining({ code: "CONNECTOR_MESSAGE_INVALID" }),
  );
});

test("lines that are no records are left to others", () => {
  const record = new JsonRecord();
  for (const line of ["hello", "", '{"type":"LOG"}', "[1]", "12"])
    expect(record.read(Buffer.from(line))).toBe(false);
});
