/**
 * Places in a source's log as text that sorts as the log goes: `EEEEEEEE-PPPPPPPPPPPPPPPPPPPP-NNNNNNNNNN`, the source's
 * epoch, the place of the transaction, and the number of the event inside of it. Pure.
 */
import { strict as assert } from "node:assert";
import { ExtractError } from "../../../../proto/error.ts";

/** Hexadecimal digits of an epoch and of a place, and decimal digits of a number. */
const EPOCH_DIGITS = 8;
const COMMIT_DIGITS = 20;
export const NUMBER_DIGITS = 10;
const POSITION_CHARS = EPOCH_DIGITS + COMMIT_DIGITS + NUMBER_DIGITS + 2;
/** Stands for all events of a transaction where one place is to hold for it as a whole. */
export const LAST_NUMBER = 9_999_999_999;

export interface LogPosition {
  /** Grows when the source's log is another one: after a failover. */
  readonly epoch: number;
  /** 20 hexadecimal digits: where the transaction stands in the log. */
  readonly commit: string;
  /** From 1; 0 for the rows of a snapshot. */
  readonly number: number;
}

/** A transaction's place, to which each of its rows adds its number. */
export interface Place {
  /** `EEEEEEEE-PPPPPPPPPPPPPPPPPPPP-` */
  readonly prefix: Uint8Array;
  readonly transactionId: string | null;
}

export function formatPosition({ epoch, commit, number }: LogPosition): string {
  assert(
    Number.isInteger(epoch) && epoch >= 0 && epoch < 2 ** 32,
    `epoch ${epoch}`,
  );
  assert(/^[0-9a-f]{20}$/.test(commit), `place ${commit}`);
  assert(
    Number.isInteger(number) && number >= 0 && number <= LAST_NUMBER,
    `number ${number}`,
  );
  return `${epoch.toString(16).padStart(EPOCH_DIGITS, "0")}-${commit}-${String(number).padStart(NUMBER_DIGITS, "0")}`;
}

/** @throws ExtractError SOURCE_EVENT_INVALID */
export function parsePosition(text: string): LogPosition {
  const match = /^([0-9a-f]{8})-([0-9a-f]{20})-(\d{10})$/.exec(text);
  if (match === null)
    throw new ExtractError(
      "SOURCE_EVENT_INVALID",
      `${text.slice(0, 80)} is no place in a log`,
    );
  const [, epoch = "", commit = "", number = ""] = match;
  return { epoch: Number.parseInt(epoch, 16), commit, number: Number(number) };
}

/** Below zero where `a` comes before `b` in the log. Texts of one length, in ASCII: they compare as they are. */
export function comparePositions(a: string, b: string): number {
  assert(
    a.length === POSITION_CHARS && b.length === POSITION_CHARS,
    `${a} and ${b}`,
  );
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The place of a transaction whose rows are to be written. `commit` has 20 hexadecimal digits. */
export function makePlace(
  epoch: number,
  commit: string,
  transactionId: string | null,
): Place {
  const first = formatPosition({ epoch, commit, number: 0 });
  return { prefix: Buffer.from(first.slice(0, -NUMBER_DIGITS)), transactionId };
}

/**
 * A log sequence number as a place: `16/B374D848` of Postgres, or its value in decimal digits; or
 * `00000027:00000ac0:0002` of SQL Server, whose digits are a place as they stand.
 * @throws ExtractError SOURCE_EVENT_INVALID
 */
export function commitOfLsn(lsn: string): string {
  if (/^[0-9a-f]{8}:[0-9a-f]{8}:[0-9a-f]{4}$/i.test(lsn)) {
    return lsn.replaceAll(":", "").toLowerCase();
  }
  const match = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(lsn);
  if (match !== null) {
    return ((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`))
      .toString(16)
      .padStart(COMMIT_DIGITS, "0");
  }
  if (!/^\d{1,20}$/.test(lsn) || BigInt(lsn) >= 2n ** 64n) {
    throw new ExtractError(
      "SOURCE_EVENT_INVALID",
      `${lsn.slice(0, 80)} is no LSN`,
    );
  }
  return BigInt(lsn).toString(16).padStart(COMMIT_DIGITS, "0");
}

/**
 * A place in a binary log: `binlog.000012` and 345.
 * @throws ExtractError SOURCE_EVENT_INVALID
 */
export function commitOfBinlog(file: string, offset: number): string {
  const digits = /\.(\d{1,10})$/.exec(file)?.[1];
  const isPlace =
    digits !== undefined &&
    Number(digits) < 2 ** 32 &&
    Number.isInteger(offset) &&
    offset >= 0 &&
    offset < 2 ** 48;
  if (!isPlace)
    throw new ExtractError(
      "SOURCE_EVENT_INVALID",
      `${file.slice(0, 80)}:${offset} is no place in a binary log`,
    );
  return (
    Number(digits).toString(16).padStart(8, "0") +
    offset.toString(16).padStart(12, "0")
  );
}

/** Writes the number's ten digits at `at`. */
export function writeNumber(
  target: Uint8Array,
  at: number,
  number: number,
): void {
  let rest = number;
  for (let p = at + NUMBER_DIGITS - 1; p >= at; p--) {
    const next = Math.floor(rest / 10);
    target[p] = 48 + rest - next * 10;
    rest = next;
  }
}
