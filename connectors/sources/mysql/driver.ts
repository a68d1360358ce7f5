/** MySQL and MariaDB as the processes use them: one session per connection, each call in the snapshot's transaction. */
import { quoteIdentifier, quoteLiteral } from "./sql.ts";
import { readBound, writeRanges } from "../narrow.ts";
import type { SourceDriver } from "../source.ts";
import { TableSession, type TableParts } from "../table-session.ts";
import { checkCondition } from "./condition.ts";
import { MysqlConnection } from "./connection.ts";
import { discover } from "./discover.ts";
import { asSchemaChange } from "./errors.ts";
import { canSplit, findSplit } from "./middle.ts";
import { planPartitions } from "./plan.ts";
import { MysqlLogWatch } from "./log-watch.ts";
import { startRead } from "./reader.ts";
import { HeldSnapshot } from "./snapshot.ts";
import { joinSnapshot } from "./snapshot-ref.ts";
import type { MysqlStream } from "./stream.ts";
import { parseSourceUrl } from "./url.ts";

const parts: TableParts<MysqlConnection, MysqlStream> = {
  beginSnapshot: joinSnapshot,
  discover,
  // a statement that fails leaves the transaction as it was: there is no need to go back
  keepTransaction: (_, work) => work(),
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

export const mysqlDriver: SourceDriver = {
  joins: "at-the-start",
  connect: async (url) =>
    new TableSession(await MysqlConnection.connect(parseSourceUrl(url)), parts),
  canSplit: (stream, partition) => canSplit(stream as MysqlStream, partition),
  narrow: (stream, ranges) =>
    writeRanges(stream, ranges, {
      quoteIdentifier,
      writeLiteral: (column, bound) => {
        const { kind, text } = readBound(column, bound);
        // a number as text would be compared as a double
        return kind === "number" ? text : quoteLiteral(text);
      },
    }),
  holdSnapshot: (url, onLost, log = null) =>
    HeldSnapshot.open(parseSourceUrl(url), { onLost, log }),
  watchLog: (url, names) => new MysqlLogWatch(parseSourceUrl(url), names),
};
