/**
 * Places in a source's log, as texts that compare as the log goes: `EEEEEEEE-PPPPPPPPPPPPPPPPPPPP-NNNNNNNNNN`. First the
 * source epoch, 8 hexadecimal digits, which grows when the log is another one than before, since the places of two logs
 * say nothing of each other; then the transaction's place, 20 hexadecimal digits that the kind of source gives; then the
 * event's number inside of it, 10 decimal digits.
 */
import { strict as assert } from "node:assert";

const EPOCH_DIGITS = 8;
const COMMIT_DIGITS = 20;
export const NUMBER_DIGITS = 10;
const POSITION = /^[0-9a-f]{8}-[0-9a-f]{20}-[0-9]{10}$/;
/** Stands for all events of a transaction where one place is to hold for it as a whole. */
export const LAST_NUMBER = 9_999_999_999;
/** How the position of a snapshot's row ends: no event of a transaction has this number. */
export const SNAPSHOT_ENDING = "-0000000000";

export interface LogPosition {
  readonly epoch: number;
  /** 20 hexadecimal digits. */
  readonly commit: string;
  /** From 1; 0 for the rows of a snapshot. */
  readonly number: number;
}

export function isLogPosition(text: string): boolean {
  return POSITION.test(text);
}

export function formatPosition({ epoch, commit, number }: LogPosition): string {
  assert(
    Number.isInteger(epoch) && epoch >= 0 && epoch < 2 ** 32,
    `epoch ${epoch}`,
  );
  assert(
    Number.isInteger(number) && number >= 0 && number <= LAST_NUMBER,
    `number ${number}`,
  );
  const position = `${epoch.toString(16).padStart(EPOCH_DIGITS, "0")}-${commit}-${String(number).padStart(NUMBER_DIGITS, "0")}`;
  assert(isLogPosition(position), `not a position: ${position}`);
  return position;
}

/** Behind the whole transaction that was committed at this place. */
export function positionBehind(epoch: number, commit: string): string {
  assert(epoch >= 1);
  return formatPosition({ epoch, commit, number: LAST_NUMBER });
}

/** What rows of a snapshot that shows everything up to this place carry. */
export function positionOfSnapshot(epoch: number, commit: string): string {
  assert(epoch >= 1);
  return formatPosition({ epoch, commit, number: 0 });
}

/** The same place, as rows of a snapshot carry it. */
export function asSnapshot(position: string): string {
  assert(isLogPosition(position), `not a position: ${position}`);
  return `${position.slice(0, -SNAPSHOT_ENDING.length)}${SNAPSHOT_ENDING}`;
}

/** The place that the kind of source has given. */
export function commitOf(position: string): string {
  assert(isLogPosition(position), `not a position: ${position}`);
  const first = EPOCH_DIGITS + 1;
  return position.slice(first, first + COMMIT_DIGITS);
}

/** A place that is one number, below 2^80: a log sequence number. */
export function formatCommit(place: bigint): string {
  assert(place >= 0n && place < 2n ** 80n, `place ${place}`);
  return place.toString(16).padStart(COMMIT_DIGITS, "0");
}

/** A place in a log of numbered files: the file's number below 2^32, and the place in it below 2^48. */
export function formatFileCommit(file: number, offset: bigint): string {
  assert(offset >= 0n && offset < 2n ** 48n, `place ${offset}`);
  return formatCommit((BigInt(file) << 48n) | offset);
}

/** Of a commit that is such a place. */
export function readFileCommit(commit: string): {
  readonly file: number;
  readonly offset: number;
} {
  assert(commit.length === COMMIT_DIGITS, `not a commit: ${commit}`);
  const place = BigInt(`0x${commit}`);
  return {
    file: Number(place >> 48n),
    offset: Number(place & (2n ** 48n - 1n)),
  };
}
