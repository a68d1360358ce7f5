/**
 * Places in a source's log, as texts that compare as the log goes: `<source epoch>-<commit>-<event>`, of 8 hexadecimal
 * digits, 20 characters that the kind of source gives, and 10 decimal digits. The source epoch grows when the log is
 * another one than before, since the places of two logs say nothing of each other.
 */
import { strict as assert } from "node:assert";

/** Characters of the commit's place. */
const COMMIT_CHARS = 20;
const POSITION = /^[0-9a-f]{8}-[0-9a-f]{20}-[0-9]{10}$/;
/** Behind every event of the transaction. */
const WHOLE = "9999999999";
/** Before every event of the transaction. */
const NOTHING = "0000000000";

export function isLogPosition(text: string): boolean {
  return POSITION.test(text);
}

/** What stands before every position of the epoch's transactions. */
function epochPrefix(sourceEpoch: number): string {
  assert(Number.isSafeInteger(sourceEpoch) && sourceEpoch >= 1);
  return `${sourceEpoch.toString(16).padStart(8, "0")}-`;
}

/** Behind the whole transaction that was committed at this place. */
export function positionBehind(sourceEpoch: number, commit: string): string {
  return join(sourceEpoch, commit, WHOLE);
}

/** What rows of a snapshot that shows everything up to this place carry. */
export function positionOfSnapshot(
  sourceEpoch: number,
  commit: string,
): string {
  return join(sourceEpoch, commit, NOTHING);
}

/** The same place, as rows of a snapshot carry it. */
export function asSnapshot(position: string): string {
  assert(isLogPosition(position), `not a position: ${position}`);
  return `${position.slice(0, -NOTHING.length)}${NOTHING}`;
}

/** The place that the kind of source has given. */
export function commitOf(position: string): string {
  assert(isLogPosition(position), `not a position: ${position}`);
  return position.slice(9, 9 + COMMIT_CHARS);
}

function join(sourceEpoch: number, commit: string, event: string): string {
  const position = `${epochPrefix(sourceEpoch)}${commit}-${event}`;
  assert(isLogPosition(position), `not a position: ${position}`);
  return position;
}
