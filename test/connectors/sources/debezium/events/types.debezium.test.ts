/**
 * Every type of Postgres through the engine and the decoder, by frames, by what is kept of their events, and by the
 * engine's own lines, beside the reader of a snapshot, on a live server.
 */
import { BatchSet } from "../../../../../connectors/sources/batches/batch-set.ts";
import { BatchEvent } from "../../../../../connectors/sources/debezium/events/batch-event.ts";
import { planColumns } from "../../../../../connectors/sources/debezium/events/columns.ts";
import {
  openChangeDecoder,
  type RowEvent,
} from "../../../../../connectors/sources/debezium/events/decoder.ts";
import type { EngineEvent } from "../../../../../connectors/sources/debezium/engine/protocol.ts";
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

type Take = (event: RowEvent) => void;

/** What the log has in other words than the table. */
const refusedTypes = new Set([
  "timetz",
  "money",
  "interval[]",
  "hstore[]",
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
  const offset = await pg.prepare("copied");
  const run = engines.open(pg.log, { offset });
  const [count] = await pg.query<{ n: number }>(
    "SELECT count(*)::int AS n FROM every_type",
  );
  await pg.query("INSERT INTO copied SELECT * FROM every_type ORDER BY n");
  await run.untilCommitted(count!.n);
  await run.engine.kill();
  const inLines = engines.open(pg.log, { offset, format: "json" });
  await inLines.untilCommitted(count!.n);
  expect(inLines.runs).toEqual([]);

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
  const decode = (append: (take: Take) => void): TestRow[] => {
    const decoder = openChangeDecoder(stream.schema, settings);
    const set = new BatchSet(decoder.fields, 64);
    append((event) =>
      expect(decoder.append(event, place, set)).toBe("appended"),
    );
    return readBatch(decoder.schema, set.toBatch(decoder.fields.length));
  };
  const decodeLines = (events: readonly EngineEvent[]): TestRow[] =>
    decode((take) => {
      const event = new ChangeEvent();
      for (const one of events) take(event.read(one));
    });
  const decoded = {
    frames: decode((take) => {
      const event = new BatchEvent();
      for (const one of run.runs)
        for (event.begin(one); event.next();) take(event);
    }),
    kept: decodeLines(run.events),
    lines: decodeLines(inLines.events),
  };
  for (const [form, rows] of Object.entries(decoded)) {
    expect(rows, form).toHaveLength(expected.length);
    for (const [i, column] of stream.schema.columns.entries()) {
      expect(
        rows.map((row) => row[i]),
        `${column.sourceType} by ${form}`,
      ).toEqual(expected.map((row) => row[i]));
    }
  }
});
