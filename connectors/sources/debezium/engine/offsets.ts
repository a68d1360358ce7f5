/** Offsets that are made, not received: where a connector begins for the first time. */
import { ExtractError } from "../../../../proto/error.ts";
import { formatCommit } from "../../../../proto/log-position.ts";
import { commitOfBinlog, commitOfLsn } from "../events/positions.ts";
import type { EngineOffset } from "./protocol.ts";

/** Everything that commits at this LSN or behind it; a slot's consistent point, or its confirmed flush LSN. */
export function postgresOffset(lsn: bigint): EngineOffset {
  return `{"lsn":${lsn}}` as EngineOffset;
}

export interface BinlogPlace {
  /** `binlog.000012`. */
  readonly file: string;
  readonly position: bigint;
  /** What is done: MySQL `uuid:1-5,…`, MariaDB `0-1-5,…`; null or empty: the server has none. */
  readonly gtids: string | null;
}

/** Everything behind this place. With GTIDs the file's name and position mean nothing but where it once was. */
export function binlogOffset({
  file,
  position,
  gtids,
}: BinlogPlace): EngineOffset {
  const set = gtids === null ? "" : gtids.replaceAll(/\s/g, "");
  const members = [
    `"file":${JSON.stringify(file)}`,
    ...(set === "" ? [] : [`"gtids":${JSON.stringify(set)}`]),
    `"pos":${position}`,
  ];
  return `{${members.join(",")}}` as EngineOffset;
}

/**
 * How far an offset has come, as 20 characters that compare with a `begin`'s position: what committed before it has
 * been told; of topics, the unit. A binlog's place lags behind the offset's GTIDs until the next heartbeat.
 * @throws ExtractError STATE_INCOMPATIBLE, SOURCE_EVENT_INVALID for what is no offset of the engine
 */
export function positionOf(offset: EngineOffset): string {
  // integers of any size
  const lsn = /"lsn":(\d{1,20})\b/.exec(offset)?.[1];
  if (lsn !== undefined) return commitOfLsn(lsn);
  const unit = /^\{"unit":(\d{1,15})\b/.exec(offset)?.[1];
  if (unit !== undefined) return formatCommit(BigInt(unit));
  const file = /"file":"([^"\\]{1,255})"/.exec(offset)?.[1];
  const position = /"pos":(\d{1,15})\b/.exec(offset)?.[1];
  if (file === undefined || position === undefined) {
    throw new ExtractError(
      "STATE_INCOMPATIBLE",
      "the offset of the source's log is none of the change data engine's",
      { offset: offset.slice(0, 200) },
    );
  }
  return commitOfBinlog(file, BigInt(position));
}
