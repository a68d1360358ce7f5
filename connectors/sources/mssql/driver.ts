/** SQL Server as the processes use it: one session per connection, each call in the session's transaction. */
import { quoteIdentifier } from "./sql.ts";
import { readBound, writeRanges } from "../narrow.ts";
import type { SourceDriver } from "../source.ts";
import { TableSession, type TableParts } from "../table-session.ts";
import { checkCondition } from "./condition.ts";
import { MssqlConnection } from "./connection.ts";
import { discover } from "./discover.ts";
import { asSchemaChange } from "./errors.ts";
import { canSplit, findSplit } from "./middle.ts";
import { planPartitions } from "./plan.ts";
import { startRead } from "./reader.ts";
import { HeldSnapshot } from "./snapshot.ts";
import type { MssqlStream } from "./stream.ts";
import { parseSourceUrl } from "./url.ts";

const parts: TableParts<MssqlConnection, MssqlStream> = {
  beginSnapshot: (connection, snapshot) => connection.beginSnapshot(snapshot),
  discover,
  keepTransaction: (_, work) => work(),
  checkCondition,
  async readCursorWindow(...order) {
    const { readCursorWindow } = await import("./cursor-window.ts");
    return readCursorWindow(...order);
  },
  planPartitions,
  findSplit,
  startRead,
  asSchemaChange,
};

export const mssqlDriver: SourceDriver = {
  // a snapshot transaction cannot be joined later: what it sees is fixed when it begins
  joins: "at-the-start",
  connect: async (url) =>
    new TableSession(await MssqlConnection.connect(parseSourceUrl(url)), parts),
  canSplit: (stream, partition) => canSplit(stream as MssqlStream, partition),
  narrow: (stream, ranges) =>
    writeRanges(stream, ranges, {
      quoteIdentifier,
      writeLiteral: (column, bound) => writeBound(readBound(column, bound)),
    }),
  holdSnapshot: (url, onLost) => HeldSnapshot.open(parseSourceUrl(url), onLost),
};

/** A text without a style would be read by the language of the login. */
function writeBound({ kind, text }: ReturnType<typeof readBound>): string {
  const literal = `N'${text.replaceAll("'", "''")}'`;
  switch (kind) {
    case "number":
      return text;
    case "date":
      return `CONVERT(date, ${literal}, 23)`;
    case "timestamp":
      return `CONVERT(datetime2(7), ${literal.replace("T", " ")}, 121)`;
    case "text":
      return literal;
  }
}
