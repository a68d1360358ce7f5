/**
 * The binlog of the chosen tables, from a place that the run's snapshot knows: every change is in the snapshot or behind
 * that place. Nothing is made at the server, so that what is looked at is whether it is set up, and whether the log still
 * reaches back. What it cannot give is refused before anything is locked or read.
 */
import { strict as assert } from "node:assert";
import type { LogOpened, LogOpenOrder } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import {
  positionBehind,
  positionOfSnapshot,
} from "../../../proto/log-position.ts";
import type { TableName } from "./catalog.ts";
import type { MysqlConnection } from "./connection.ts";
import { discover } from "./discover.ts";
import {
  commitOfPlace,
  formatHistory,
  formatOffset,
  readDefinitions,
  type BinlogPlace,
  type Definitions,
} from "./log-place.ts";
import { isLocked } from "./lock-ladder.ts";
import { checkReach, identifyLog } from "./log-reach.ts";
import {
  checkLogSettings,
  checkLoggedDatabases,
  readLogEnd,
  unsuitable,
  type LogServer,
} from "./log-settings.ts";
import { chooseReaderId } from "./reader-id.ts";
import type { BinlogPosition, SnapshotRung } from "./snapshot-ref.ts";
import type { MysqlStream } from "./stream.ts";
import type { MysqlConfig } from "./url.ts";

/** Where the events of a file begin. */
const FILE_START = 4;
/** No place in a log comes behind this one. */
const NEVER = "f".repeat(20);

/** The log, before a snapshot is taken. */
export interface HeldLog {
  readonly tables: readonly TableName[];
  /** Some of them are read; else nothing but changes is, and no lock is needed. */
  readonly isRead: boolean;
  /** How the tables are defined now. */
  define(): Promise<Definitions>;
  /** Once the snapshot's place is known. `before`: from a moment before discovery. */
  describe(snapshot: LogSnapshotPlace | null): Promise<LogOpened>;
}

export interface LogSnapshotPlace {
  readonly rung: SnapshotRung;
  /** Of the snapshot under a lock; else one before it. */
  readonly position: BinlogPosition;
  /** As they were at the position. */
  readonly definitions: Definitions;
}

/** @throws ExtractError SOURCE_LOG_UNSUITABLE, SOURCE_POSITION_EXPIRED, and what discovery throws */
export async function holdLog(
  config: MysqlConfig,
  connection: MysqlConnection,
  order: LogOpenOrder,
): Promise<HeldLog> {
  if (config.socket !== null)
    throw new ExtractError(
      "USAGE",
      "a log is followed over TCP, not over a Unix socket; name a host in the source URL",
      { socket: config.socket },
    );
  const server = await checkLogSettings(connection);
  const tables = await chooseTables(connection, order);
  const before = await readLogEnd(connection);
  checkLoggedDatabases(before, tables);
  const readerId = chooseReaderId(order.slot);
  const { known, sourceEpoch } = order;
  if (known !== null)
    await checkReach(connection, config, server, readerId, known);
  const identity =
    known?.identity ??
    (await identifyLog(connection, config, server, readerId));
  const at = (place: Pick<BinlogPlace, "file" | "offset">) =>
    positionOfSnapshot(sourceEpoch, commitOfPlace(place));
  const common = {
    connector: connection.flavour,
    identity,
    // what one snapshot shows and another does not is in the log of both
    visible: null,
    tables: tables.map(({ schema, name }) => ({ namespace: schema, name })),
  };
  return {
    tables,
    isRead: !tables.every((table) => isCopied(order, table)),
    define: () => readDefinitions(connection, tables, server.serverId),
    describe: async (snapshot) => {
      const takenAt = await readClock(connection);
      if (snapshot !== null) {
        const place = choosePlace(server, snapshot);
        const position = at(place);
        const { definitions } = snapshot;
        const seconds = Math.floor(Number(takenAt) / 1_000_000);
        return {
          ...common,
          position,
          offset: formatOffset(place, server.serverId, seconds),
          history: formatHistory(place, definitions, seconds),
          consistentFrom: isLocked(snapshot.rung)
            ? known && position
            : // only a later run knows that it has passed the last of the snapshots
              positionBehind(sourceEpoch, NEVER),
          takenAt,
          now: position,
          before: position,
        };
      }
      assert(known !== null, "a log that begins has tables to be read");
      const end = await readLogEnd(connection);
      const now = at({ file: end.File, offset: Number(end.Position) });
      return {
        ...common,
        position: known.position,
        offset: null,
        history: [],
        consistentFrom: now,
        takenAt,
        now,
        before: at({ file: before.File, offset: Number(before.Position) }),
      };
    },
  };
}

/** @throws ExtractError SOURCE_LOG_UNSUITABLE where the server gives no place that is surely before the snapshots */
function choosePlace(
  { hasGtids }: LogServer,
  { rung, position: { file, offset, gtid } }: LogSnapshotPlace,
): BinlogPlace {
  const done = hasGtids ? gtid : null;
  if (file === null || offset === null)
    throw unsuitable("the server does not tell where its binlog ends");
  if (rung !== "none") return { file, offset, gtid: done };
  // a transaction is in the log before others see it: only those that count as done are surely in a snapshot
  if (done === null)
    throw unsuitable(
      "this user may lock nothing, and the server counts no transactions, so that no place in the binlog belongs to what is read: GRANT RELOAD ON *.*, or LOCK TABLES on the databases, or set gtid_mode = ON",
    );
  return { file, offset: FILE_START, gtid: done };
}

/** The tables of the selection, each with something that tells its rows apart in the log. */
async function chooseTables(
  connection: MysqlConnection,
  { include, exclude }: LogOpenOrder,
): Promise<readonly TableName[]> {
  const { streams } = await discover(connection, {
    include,
    exclude,
    columns: null,
  });
  const isTable = ({ relationKind }: MysqlStream) => relationKind !== "view";
  const view = streams.find((stream) => !isTable(stream));
  if (view && include.length > 0)
    throw unsuitable(
      `${view.schema.namespace}.${view.schema.name} is no table: it has no changes of its own`,
    );
  const tables = streams.filter(isTable);
  if (tables.length === 0) throw unsuitable("no table is selected");
  const nameless = tables.filter(({ schema }) => (schema.key ?? []).length < 1);
  if (nameless.length > 0)
    throw unsuitable(
      `${nameless.map(({ schema }) => `${schema.namespace}.${schema.name}`).join(", ")}: no primary key and no unique key without NULLs, so that the log could not say which row was changed; add a primary key, or leave the table out`,
    );
  return tables.map(({ schema: { namespace, name } }) => ({
    schema: namespace,
    name,
  }));
}

function isCopied(
  { copied }: LogOpenOrder,
  { schema, name }: TableName,
): boolean {
  return copied.some((one) => one.namespace === schema && one.name === name);
}

/** Microseconds since 1970, of the server. */
async function readClock(connection: MysqlConnection): Promise<string> {
  const [row] = await connection.query<{ us: number | string }>(
    "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) AS us",
  );
  return String(row?.us ?? 0);
}
