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

/** @throws ExtractError SOURCE_POSITION_EXPIRED */
export async function checkReach(
  connection: Queryable,
  config: MysqlConfig,
  server: LogServer,
  readerId: number,
  known: KnownLog,
): Promise<void> {
  const [name = "", mark = ""] = known.identity.split(" ");
  if (name !== server.name)
    throw expired(
      `this is another server than the log was followed from (${server.name} instead of ${name})`,
    );
  const files = await listBinlogs(connection);
  const end = await readLogEnd(connection);
  await checkMark(mark, files, (file) =>
    readBinlogBirth(config, file, readerId),
  );
  const endCommit = commitOfPlace({
    file: end.File,
    offset: Number(end.Position),
  });
  if (endCommit < commitOf(known.position))
    throw expired(
      `the server's log ends at ${end.File}:${end.Position}, before what was copied from it: it was reset or set back`,
    );
  if (known.offset === null) return;
  const place = readOffset(known.offset);
  if (place.gtid === null || !server.hasGtids) checkFile(place, files);
  else if (connection.flavour === "mysql")
    await checkGtidSet(connection, place.gtid);
  else
    await checkGtidList(connection, place.gtid, files[0]?.name ?? place.file);
}

/** A file that is under the name of one that was known has to be that one. Where it was removed by age, none is. */
async function checkMark(
  mark: string,
  files: readonly BinlogFile[],
  readBirth: (file: string) => Promise<number>,
): Promise<void> {
  const [file = "", birth = ""] = mark.split("@");
  if (!files.some(({ name }) => name === file)) return;
  if (String(await readBirth(file)) !== birth)
    throw expired(
      `${file} is another file than the one of this name that the log was followed from: the binlog was reset`,
    );
}

function checkFile(
  { file, offset }: BinlogPlace,
  files: readonly BinlogFile[],
): void {
  const found = files.find(({ name }) => name === file);
  if (!found)
    throw expired(
      `the server has ${file} no more, which the log is to be read on from; the oldest is ${files[0]?.name ?? "none"}`,
    );
  if (found.bytes < offset)
    throw expired(
      `${file} ends at ${found.bytes}, before what was copied from it at ${offset}`,
    );
}

async function checkGtidSet(
  connection: Queryable,
  done: string,
): Promise<void> {
  const known = quoteLiteral(done);
  const [row] = await connection.query<{ here: number; kept: number }>(
    `SELECT GTID_SUBSET(${known}, @@global.gtid_executed) AS here,
      GTID_SUBSET(@@global.gtid_purged, ${known}) AS kept`,
  );
  if (Number(row?.here) !== 1) throw notDone(done);
  if (Number(row?.kept) !== 1)
    throw expired(
      "the server has removed transactions from its binlog that were not read yet (gtid_purged)",
    );
}

/** MariaDB: the last of each domain, `0-1-5,1-1-9`. */
async function checkGtidList(
  connection: Queryable,
  done: string,
  oldestFile: string,
): Promise<void> {
  const [row] = await connection.query<{ now: string; oldest: string | null }>(
    `SELECT @@global.gtid_binlog_pos AS now, BINLOG_GTID_POS(${quoteLiteral(oldestFile)}, 4) AS oldest`,
  );
  const known = readDomains(done);
  const now = readDomains(row?.now ?? "");
  for (const [domain, number] of known)
    if ((now.get(domain) ?? 0n) < number) throw notDone(done);
  for (const [domain, number] of readDomains(row?.oldest ?? ""))
    if ((known.get(domain) ?? 0n) < number)
      throw expired(
        `the server has removed transactions from its binlog that were not read yet: it begins behind ${row?.oldest}`,
      );
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

function notDone(done: string): ExtractError {
  return expired(
    `the server has not done what was copied from it (${done.slice(0, 200)}): its binlog was reset, or it is another one`,
  );
}

function expired(message: string): ExtractError {
  return new ExtractError("SOURCE_POSITION_EXPIRED", message, {});
}
