/** Every type of Postgres through the engine and the decoder, beside the reader of a snapshot, on a live server. */
import { BatchSet } from "../../../../../connectors/sources/batches/batch-set.ts";
import { planColumns } from "../../../../../connectors/sources/debezium/events/columns.ts";
import { openChangeDecoder } from "../../../../../connectors/sources/debezium/events/decoder.ts";
import { ChangeEvent } from "../../../../../connectors/sources/debezium/events/event.ts";
import { PostgresConnection } from "../../../../../connectors/sources/postgres/connection.ts";
import { startRead } from "../../../../../connectors/sources/postgres/reader.ts";
import { parseSourceUrl } from "../../../../../connectors/sources/postgres/url.ts";
import { expect, test } from "../../../../fixtures/debezium.ts";
import { readBatch } from "../../../../fixtures/batch-rows.ts";
import type { TestRow } from "../../../../fixtures/batches.ts";
import {
  makeEveryType,
  prepareCases,
} from "../../../../fixtures/every-type.ts";
import { discoverOne } from "../../postgres/session.ts";
import { makeTask } from "../../postgres/support/tasks.ts";
import { place, postgres } from "./support.ts";

/** What the log has in other words than the table. */
const refusedTypes = new Set([
  "timetz",
  "money",
  "interval[]",
  "pair",
  "pair[]",
  "pair_domain",
  "nested",
]);
const declaredTypes: Readonly<Record<string, string>> = {
  tags: "text[]",
  "price[]": "numeric(7,2)[]",
};

test("an insertion gives each value as the snapshot's reader does", async ({
  pg,
  engines,
}) => {
  const all = await prepareCases(pg);
  // a domain over an enum ends the connector
  await pg.query("DROP DOMAIN feeling");
  const cases = all.filter(
    ({ type }) => type !== "feeling" && !refusedTypes.has(type),
  );
  await makeEveryType(pg, cases);
  await pg.query("CREATE TABLE copied (LIKE every_type INCLUDING ALL)");
  const run = engines.open(pg.log, { offset: await pg.prepare("copied") });
  const [count] = await pg.query<{ n: number }>(
    "SELECT count(*)::int AS n FROM every_type",
  );
  await pg.query("INSERT INTO copied SELECT * FROM every_type ORDER BY n");
  await run.untilCommitted(count!.n);

  const connection = await PostgresConnection.connect(
    parseSourceUrl(pg.url, {}),
  );
  const expected: TestRow[] = [];
  const stream = await discoverOne(connection, "copied");
  try {
    const task = {
      ...(await makeTask(connection, "copied", { columns: ["n"] })),
      stream,
    };
    await startRead(connection, task, {
      batch: async (batch) => {
        expected.push(...readBatch(stream.schema, batch));
      },
      checkpoint: async () => {},
      valueNulled: () => {},
    }).done;
  } finally {
    await connection.close();
  }

  const settings = {
    ...postgres,
    unavailableValue: pg.log.unavailableValue,
    declaredTypes: new Map(
      cases.flatMap(({ type }, i): [string, string][] => {
        const declared = declaredTypes[type];
        return declared === undefined ? [] : [[`c${i}`, declared]];
      }),
    ),
  };
  expect(planColumns(stream.schema, settings)).toHaveLength(cases.length + 1);
  const decoder = openChangeDecoder(stream.schema, settings);
  const set = new BatchSet(decoder.fields, 64);
  const event = new ChangeEvent();
  for (const one of run.events) {
    expect(decoder.append(event.read(one), place, set)).toBe("appended");
  }
  const rows = readBatch(decoder.schema, set.toBatch(decoder.fields.length));
  expect(rows).toHaveLength(expected.length);
  for (const [i, column] of stream.schema.columns.entries()) {
    expect(
      rows.map((row) => row[i]),
      column.sourceType,
    ).toEqual(expected.map((row) => row[i]));
  }
});
