/**
 * Whether the log still reaches from where a sync stands to now, on the server that it was copied from. What does not is
 * refused by name: nothing is passed over.
 */
import { ExtractError } from "../../../proto/error.ts";
import { commitOf } from "../../../proto/log-position.ts";
import { readBinlogBirth } from "./binlog-file.ts";
import { commitOfPlace, readOffset, type BinlogPlace } from "./log-place.ts";
import {
  listBinlogs,
  readLogEnd,
  type BinlogFile,
  type LogServer,
} from "./log-settings.ts";
import { quoteLiteral, type Queryable } from "./sql.ts";
import type { MysqlConfig } from "./url.ts";

/** What a log is known by later: the server, and a file of it with the second in which it was begun. */
export async function identifyLog(
  connection: Queryable,
  config: MysqlConfig,
  server: LogServer,
  readerId: number,
): Promise<string> {
  const { File: file } = await readLogEnd(connection);
  const birth = await readBinlogBirth(config, file, readerId);
  return `${server.name} ${file}@${birth}`;
}

export interface KnownLog {
  readonly identity: string;
  readonly position: string;
  readonly offset: string | null;
}

/** Why a log is not the one that a sync stands in, or does not reach back to there. */
export interface ReachFault {
  /** `removed`: it is that log, without a part that is not read yet. */
  readonly kind: "another" | "removed";
  readonly message: string;
}

/** @throws ExtractError SOURCE_POSITION_EXPIRED */
export async function checkReach(
  connection: Queryable,
  config: MysqlConfig,
  server: LogServer,
  readerId: number,
  known: KnownLog,
): Promise<void> {
  const fault =
    (await findAnother(connection, config, server, readerId, known.identity)) ??
    findSetBack(await readLogEnd(connection), known.position) ??
    (known.offset === null
      ? null
      : await findRemoved(connection, server, known.offset));
  if (fault) throw expired(fault);
}

/** Another server, or a file that is under the name of one that was known: where that was removed by age, none is. */
export async function findAnother(
  connection: Queryable,
  config: MysqlConfig,
  server: LogServer,
  readerId: number,
  identity: string,
): Promise<ReachFault | null> {
  const [name = "", mark = ""] = identity.split(" ");
  if (name !== server.name)
    return another(
      `this is another server than the log was followed from (${server.name} instead of ${name})`,
    );
  const [file = "", birth = ""] = mark.split("@");
  const files = await listBinlogs(connection);
  if (!files.some((one) => one.name === file)) return null;
  return String(await readBinlogBirth(config, file, readerId)) === birth
    ? null
    : another(
        `${file} is another file than the one of this name that the log was followed from: the binlog was reset`,
      );
}

/** @param position that the log has been read up to */
export function findSetBack(
  end: { readonly File: string; readonly Position: number | string },
  position: string,
): ReachFault | null {
  const commit = commitOfPlace({
    file: end.File,
    offset: Number(end.Position),
  });
  return commit < commitOf(position)
    ? another(
        `the server's log ends at ${end.File}:${end.Position}, before what was copied from it: it was reset or set back`,
      )
    : null;
}

/** @param offset that the log is to be read on from */
export async function findRemoved(
  connection: Queryable,
  server: LogServer,
  offset: string,
): Promise<ReachFault | null> {
  const place = readOffset(offset);
  const files = await listBinlogs(connection);
  if (place.gtid === null || !server.hasGtids)
    return findFileFault(place, files);
  if (connection.flavour === "mysql")
    return findSetFault(connection, place.gtid);
  const oldest = files[0]?.name ?? place.file;
  return findListFault(connection, place.gtid, oldest);
}

function findFileFault(
  { file, offset }: BinlogPlace,
  files: readonly BinlogFile[],
): ReachFault | null {
  const found = files.find(({ name }) => name === file);
  if (!found)
    return removed(
      `the server has ${file} no more, which the log is to be read on from; the oldest is ${files[0]?.name ?? "none"}`,
    );
  return found.bytes < offset
    ? another(
        `${file} ends at ${found.bytes}, before what was copied from it at ${offset}`,
      )
    : null;
}

async function findSetFault(
  connection: Queryable,
  done: string,
): Promise<ReachFault | null> {
  const known = quoteLiteral(done);
  const [row] = await connection.query<{ here: number; kept: number }>(
    `SELECT GTID_SUBSET(${known}, @@global.gtid_executed) AS here,
      GTID_SUBSET(@@global.gtid_purged, ${known}) AS kept`,
  );
  if (Number(row?.here) !== 1) return notDone(done);
  return Number(row?.kept) === 1
    ? null
    : removed(
        "the server has removed transactions from its binlog that were not read yet (gtid_purged)",
      );
}

/** MariaDB: the last of each domain, `0-1-5,1-1-9`. */
async function findListFault(
  connection: Queryable,
  done: string,
  oldestFile: string,
): Promise<ReachFault | null> {
  const [row] = await connection.query<{ now: string; oldest: string | null }>(
    `SELECT @@global.gtid_binlog_pos AS now, BINLOG_GTID_POS(${quoteLiteral(oldestFile)}, 4) AS oldest`,
  );
  const known = readDomains(done);
  const now = readDomains(row?.now ?? "");
  for (const [domain, number] of known)
    if ((now.get(domain) ?? 0n) < number) return notDone(done);
  for (const [domain, number] of readDomains(row?.oldest ?? ""))
    if ((known.get(domain) ?? 0n) < number)
      return removed(
        `the server has removed transactions from its binlog that were not read yet: it begins behind ${row?.oldest}`,
      );
  return null;
}

function readDomains(list: string): ReadonlyMap<string, bigint> {
  return new Map(
    list.split(",").flatMap((one) => {
      const match = /^\s*(\d{1,10})-\d{1,10}-(\d{1,20})\s*$/.exec(one);
      const [, domain = "", number = "0"] = match ?? [];
      return match ? [[domain, BigInt(number)]] : [];
    }),
  );
}

function notDone(done: string): ReachFault {
  return another(
    `the server has not done what was copied from it (${done.slice(0, 200)}): its binlog was reset, or it is another one`,
  );
}

const another = (message: string): ReachFault => ({ kind: "another", message });
const removed = (message: string): ReachFault => ({ kind: "removed", message });

export function expired({ message }: ReachFault): ExtractError {
  return new ExtractError("SOURCE_POSITION_EXPIRED", message, {});
}
