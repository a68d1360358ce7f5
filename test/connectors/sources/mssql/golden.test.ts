/**
 * What is asked of catalogues, statistics and samples, word for word, in `golden/`, where comments name the
 * documentation that each query rests on: only a real server can show that it means what is meant there.
 */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { queries } from "../../../../connectors/sources/mssql/catalog.ts";
import {
  orderBounds,
  planPartitions,
} from "../../../../connectors/sources/mssql/plan.ts";
import {
  buildReadQuery,
  selectFields,
} from "../../../../connectors/sources/mssql/read-query.ts";
import type { Queryable } from "../../../../connectors/sources/mssql/sql.ts";
import type {
  MssqlStream,
  SourceColumn,
} from "../../../../connectors/sources/mssql/stream.ts";
import { columnSchema } from "../../../../connectors/sources/mssql/types.ts";
import { keySplit, makeTask, planSettings } from "./support/tasks.ts";

const folder = new URL("golden/", import.meta.url);

function column(
  name: string,
  baseType: string,
  more: Partial<SourceColumn> = {},
): SourceColumn {
  return {
    name,
    baseType,
    declaredType: baseType,
    maxLength: 8,
    precision: 0,
    scale: 0,
    nullable: false,
    collation: null,
    codePage: null,
    isClr: false,
    ...more,
  };
}

function streamOf(
  columns: readonly SourceColumn[],
  key: readonly (readonly [name: string, type: string])[],
  nullable: boolean,
): MssqlStream {
  return {
    schema: {
      number: 1,
      namespace: "dbo",
      name: "Employees",
      columns: columns.map((one) => columnSchema(one)),
      fingerprint: "golden",
    },
    columns,
    relationKind: "table",
    leaves: [
      {
        oid: 42,
        schema: "dbo",
        name: "Employees",
        only: false,
        heap: false,
        fileNode: 0,
        pages: 0,
        rowEstimate: -1,
      },
    ],
    key: null,
    rangeKey: {
      name: "ByKey",
      columns: key.map(([name, type]) => ({ name, type, exact: true })),
      unique: false,
      nullable,
      indexId: 1,
    },
    allColumnNames: columns.map(({ name }) => name),
  };
}

const byDate = streamOf(
  [column("Id", "int"), column("HireDate", "date", { nullable: true })],
  [["HireDate", "date"]],
  true,
);
const byTwo = streamOf(
  [
    column("Region", "varchar", {
      maxLength: 20,
      collation: "Latin1_General_CI_AS",
      codePage: 1252,
    }),
    column("Sold", "datetime2", { scale: 7 }),
  ],
  [
    ["Region", "varchar(20) COLLATE Latin1_General_CI_AS"],
    ["Sold", "datetime2(7)"],
  ],
  false,
);

/** Records what is asked; a table of many pages, of which nothing else is known. */
async function record(
  work: (connection: Queryable) => Promise<unknown>,
): Promise<string[]> {
  const asked: string[] = [];
  await work({
    serverVersion: 160_000,
    isMicrosoft: true,
    query: (sql) => {
      asked.push(sql);
      const rows = sql.includes("dm_db_partition_stats")
        ? [{ id: 42, rows: 1_000_000, pages: 100_000, largePages: 0 }]
        : [];
      return Promise.resolve(rows as never[]);
    },
  });
  return asked;
}

async function collect(): Promise<Map<string, string>> {
  const found = new Map<string, string>(Object.entries(queries));
  const planned = await record((connection) =>
    planPartitions(connection, byTwo, {
      ...planSettings,
      filter: { where: "Region <> 'x'", cursor: null },
    }),
  );
  const byPattern = (asked: readonly string[], pattern: RegExp): string =>
    asked.find((sql) => pattern.test(sql)) ?? "nothing was asked";
  found.set("sampleFilter", byPattern(planned, /AS passed/));
  found.set("sampleRows", byPattern(planned, /AS bytesPerRow/));
  found.set("sampleKeys", byPattern(planned, /ROW_NUMBER/));
  const dated = await record((connection) =>
    planPartitions(connection, byDate, {
      ...planSettings,
      filter: { where: null, cursor: null },
    }),
  );
  found.set("histogramOfDate", byPattern(dated, /dm_db_stats_histogram/));
  const ordered = await record((connection) =>
    orderBounds(connection, byTwo, [
      ["a", "2020-01-01"],
      ["b", "2020-01-02"],
    ]),
  );
  found.set("orderBounds", ordered[0] ?? "");
  const dateTask = makeTask(byDate, {
    split: keySplit(byDate, ["2020-01-01"], ["2021-01-01"]),
  });
  found.set("readRange", buildReadQuery(dateTask, selectFields(dateTask)).sql);
  const firstTask = makeTask(byDate, {
    split: keySplit(byDate, null, ["2020-01-01"]),
  });
  found.set(
    "readFirstRange",
    buildReadQuery(firstTask, selectFields(firstTask)).sql,
  );
  const twoTask = makeTask(byTwo, {
    split: keySplit(byTwo, ["a", "2020-01-01"], ["b", "2020-01-02"]),
    resumeAfter: { kind: "key", after: ["a", "2020-06-01"] },
  });
  found.set(
    "readComposite",
    buildReadQuery(twoTask, selectFields(twoTask)).sql,
  );
  return found;
}

function toFileName(name: string): string {
  return `${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}.sql`;
}

const collected = await collect();

test.for([...collected])("%s", ([name, sql]) => {
  const text = readFileSync(new URL(toFileName(name), folder), "utf8");
  const lines = text.split("\n");
  expect(
    lines
      .filter((line) => !line.startsWith("--"))
      .join("\n")
      .trim(),
  ).toBe(sql);
  expect(
    lines.some((line) => line.startsWith("-- SQL Server documentation")),
  ).toBe(true);
});

test("no file is left over", () => {
  expect(readdirSync(folder).toSorted()).toEqual(
    [...collected.keys()].map(toFileName).toSorted(),
  );
});
