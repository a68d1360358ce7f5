/** Postgres as the processes use it: one session per connection, each call in the snapshot's transaction. */
import { quoteIdentifier, quoteLiteral } from "./types.ts";
import { writeRanges } from "../narrow.ts";
import type { SourceDriver } from "../source.ts";
import { TableSession, type TableParts } from "../table-session.ts";
import { checkCondition } from "./condition.ts";
import { PostgresConnection } from "./connection.ts";
import { discover } from "./discover.ts";
import { asSchemaChange } from "./errors.ts";
import { PostgresLogWatch } from "./log-watch.ts";
import { canSplit, findSplit } from "./middle.ts";
import { planPartitions } from "./plan.ts";
import { startRead } from "./reader.ts";
import { HeldSnapshot } from "./snapshot.ts";
import type { PostgresStream } from "./stream.ts";
import { parseSourceUrl } from "./url.ts";

const parts: TableParts<PostgresConnection, PostgresStream> = {
  beginSnapshot: (connection, snapshot) => connection.beginSnapshot(snapshot),
  discover,
  async keepTransaction(connection, work) {
    await connection.query("SAVEPOINT planning");
    try {
      return await work();
    } catch (error) {
      if (connection.usable)
        await connection.query("ROLLBACK TO SAVEPOINT planning");
      throw error;
    }
  },
  checkCondition,
  async readCursorWindow(...order) {
    const { readCursorWindow } = await import("./cursor-window.ts");
    return readCursorWindow(...order);
  },
  planPartitions: (connection, stream, options) =>
    planPartitions(connection, stream, { ...options, bytesPerSecond: null }),
  findSplit,
  startRead,
  asSchemaChange,
};

export const postgresDriver: SourceDriver = {
  joins: "any-time",
  connect: async (url) =>
    new TableSession(
      await PostgresConnection.connect(parseSourceUrl(url)),
      parts,
    ),
  canSplit: (stream, partition) =>
    canSplit(stream as PostgresStream, partition),
  narrow: (stream, ranges) =>
    writeRanges(stream, ranges, {
      quoteIdentifier,
      // a literal without a type takes that of the column that it is compared with
      writeLiteral: (_, text) => quoteLiteral(text),
    }),
  holdSnapshot: (url, onLost, log = null) =>
    HeldSnapshot.open(parseSourceUrl(url), { onLost, log }),
  watchLog: (url, names) => new PostgresLogWatch(parseSourceUrl(url), names),
};
