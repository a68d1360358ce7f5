/** Places in a source's log, from the words that the kinds of source have for them, and into the rows' buffers. Pure. */
import {
  formatCommit,
  formatFileCommit,
  formatPosition,
  NUMBER_DIGITS,
} from "../../../../proto/log-position.ts";
import { ExtractError } from "../../../../proto/error.ts";

/** A transaction's place, to which each of its rows adds its number. */
export interface Place {
  /** `EEEEEEEE-PPPPPPPPPPPPPPPPPPPP-` */
  readonly prefix: Uint8Array;
  readonly transactionId: string | null;
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
  if (match !== null)
    return formatCommit(
      (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`),
    );
  if (!/^\d{1,20}$/.test(lsn) || BigInt(lsn) >= 2n ** 64n) {
    throw new ExtractError(
      "SOURCE_EVENT_INVALID",
      `${lsn.slice(0, 80)} is no LSN`,
    );
  }
  return formatCommit(BigInt(lsn));
}

/**
 * A place in a binary log: `binlog.000012` and 345.
 * @throws ExtractError SOURCE_EVENT_INVALID
 */
export function commitOfBinlog(file: string, offset: bigint): string {
  const digits = /\.(\d{1,10})$/.exec(file)?.[1];
  const isPlace =
    digits !== undefined &&
    Number(digits) < 2 ** 32 &&
    offset >= 0n &&
    offset < 2n ** 48n;
  if (!isPlace)
    throw new ExtractError(
      "SOURCE_EVENT_INVALID",
      `${file.slice(0, 80)}:${offset} is no place in a binary log`,
    );
  return formatFileCommit(Number(digits), offset);
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
