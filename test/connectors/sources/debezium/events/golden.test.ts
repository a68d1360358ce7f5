import { expect, test, describe } from "vitest";
import {
  planColumns,
  type ChangeSettings,
} from "../../../../../connectors/sources/debezium/events/columns.ts";
import { openChangeDecoder } from "../../../../../connectors/sources/debezium/events/decoder.ts";
import { ChangeEvent } from "../../../../../connectors/sources/debezium/events/event.ts";
import { ExtractError } from "../../../../../proto/error.ts";
import { BatchSet } from "../../../../../connectors/sources/batches/batch-set.ts";
import type { StreamSchema } from "../../../../../proto/schema.ts";
import { readBatch } from "../../../../fixtures/batch-rows.ts";
import type { TestRow } from "../../../../fixtures/batches.ts";
import { loadGolden, toParts, type Golden } from "./golden.ts";
import { kindsOf, toBatchEvent } from "./frames.ts";
import { forms, mysql, place, postgres, type EventForm } from "./support.ts";

/** The rows of a table's events; refused columns are left out. */
function decodeTable(
  golden: Golden,
  name: string,
  settings: ChangeSettings,
  form: EventForm,
): { schema: StreamSchema; rows: TestRow[]; refused: string[] } {
  const table = golden.tables[name]!;
  const declaredTypes = new Map(Object.entries(table.declared));
  const refused = new Set<string>();
  try {
    openChangeDecoder(table.schema, { ...settings, declaredTypes });
  } catch (error) {
    if (!(error instanceof ExtractError)) throw error;
    for (const part of String(error.details["columns"]).split("; ")) {
      refused.add(part.slice(0, part.indexOf(" ")));
    }
  }
  const schema: StreamSchema = {
    ...table.schema,
    columns: table.schema.columns.filter((column) => !refused.has(column.name)),
  };
  const opened = { ...settings, declaredTypes, leftOut: refused };
  const decoder = openChangeDecoder(schema, opened);
  const kinds = kindsOf(planColumns(schema, opened));
  const set = new BatchSet(decoder.fields, 64);
  const event = new ChangeEvent();
  const tableBytes = Buffer.from(name);
  const namespace = Buffer.from(schema.namespace);
  for (const [i, recorded] of golden.events.entries()) {
    event.read(toParts(recorded, i + 1));
    if (event.kind !== "change" || !event.isOf(namespace, tableBytes)) continue;
    const read = form === "lines" ? event : toBatchEvent(event, kinds);
    expect(decoder.append(read, place, set)).toBe("appended");
  }
  const rows = readBatch(
    decoder.schema,
    set.toBatch(decoder.fields.length),
  ).map((row) => row.slice(0, schema.columns.length));
  return { schema, rows, refused: [...refused] };
}

/** The reader's rows without the columns that were left out. */
function readerRows(golden: Golden, name: string, schema: StreamSchema) {
  const table = golden.tables[name]!;
  return table.rows.map((row) =>
    row.filter((_, i) =>
      schema.columns.some((one) => one.name === table.schema.columns[i]!.name),
    ),
  );
}

/** By its first column. */
function sortRows(rows: readonly TestRow[]): TestRow[] {
  return rows.toSorted((a, b) => Number(a[0]) - Number(b[0]));
}

describe.each(forms)("every type of Postgres, by %s", (form) => {
  const golden = loadGolden("postgres");

  test("an insertion gives each value as the snapshot's reader does", () => {
    const { schema, rows, refused } = decodeTable(
      golden,
      "every_type",
      postgres,
      form,
    );
    const expected = sortRows(readerRows(golden, "every_type", schema));
    const found = sortRows(rows);
    expect(found).toHaveLength(expected.length);
    for (const [i, column] of schema.columns.entries()) {
      expect(
        found.map((row) => row[i]),
        `${column.name} ${column.sourceType}`,
      ).toEqual(expected.map((row) => row[i]));
    }
    const types = refused.map(
      (name) =>
        golden.tables["every_type"]!.schema.columns.find(
          (column) => column.name === name,
        )?.sourceType,
    );
    expect(types).toEqual([
      "time with time zone",
      "interval[]",
      "pair[]",
      "pair",
      "pair_domain",
      "nested",
      "money",
    ]);
  });

  test("a value that cannot be represented becomes NULL for the reader's reason", () => {
    const reasons: string[] = [];
    const { rows, schema } = decodeTable(
      golden,
      "odd",
      {
        ...postgres,
        policy: "null",
        valueNulled: (column, reason) => reasons.push(`${column}: ${reason}`),
      },
      form,
    );
    expect(sortRows(rows)).toEqual(sortRows(readerRows(golden, "odd", schema)));
    expect(reasons).toEqual([
      "c0: infinity",
      "c1: -infinity",
      "c2: before year 1",
      "c3: infinity",
      "c4: before year 1",
      "c5: after the last µs of an int64",
      "c6: -infinity",
      "c7: before year 1",
      "c8: not a finite number",
      "c9: not a finite number",
      "c10: infinity",
    ]);
    expect(() => decodeTable(golden, "odd", postgres, form)).toThrow(
      expect.objectContaining({ code: "SOURCE_VALUE_UNREPRESENTABLE" }),
    );
  });
});

describe.each(
  forms.flatMap((form) =>
    (["mysql", "mariadb"] as const).map(
      (connector) => [connector, form] as const,
    ),
  ),
)("every type of %s, by %s", (connector, form) => {
  const golden = loadGolden(connector);

  test("an insertion gives each value as the snapshot's reader does", () => {
    const { schema, rows, refused } = decodeTable(
      golden,
      "e",
      {
        ...mysql,
        connector,
        policy: "null",
      },
      form,
    );
    const expected = sortRows(readerRows(golden, "e", schema));
    const found = sortRows(rows);
    expect(refused).toEqual(connector === "mariadb" ? ["u"] : []);
    expect(found).toHaveLength(expected.length);
    const different = schema.columns.filter(({ name }, i) => {
      const values = (from: readonly TestRow[]): unknown[] =>
        from.map((row) => row[i]);
      try {
        expect(values(found), name).toEqual(values(expected));
        return false;
      } catch {
        return true;
      }
    });
    // a zero date where NULL may not be is written as the column's default; the numbers and dates inside of a document
    // come in other words
    expect(different.map(({ name }) => name)).toEqual(
      connector === "mysql" ? ["dtn", "dtmn", "js"] : ["dtn", "dtmn"],
    );
    const js = schema.columns.findIndex(({ name }) => name === "js");
    const documents = [found, expected].map((rows_): unknown =>
      JSON.parse(String(rows_[0]?.[js])),
    );
    expect(documents[0]).toEqual(documents[1]);
  });
});
