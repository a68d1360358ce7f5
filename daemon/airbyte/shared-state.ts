/**
 * The part of a GLOBAL state that is of all streams: where the source's log stands, with all that the next read needs to
 * go on from there. Nothing durable lies beside it. Pure.
 */
import type { AirbyteState } from "../../connectors/airbyte/messages.ts";
import type {
  LogEntryRecord,
  LogNames,
  LogRecord,
} from "../../checkpoint/store/logs.ts";
import { ExtractError } from "../../proto/error.ts";
import { isLogPosition } from "../../proto/log-position.ts";

const VERSION = 1;

/** As the ledger has it; every change up to `position` is in front of the state. */
export type KeptLog = LogNames & {
  readonly identity: string;
  readonly position: string;
  readonly offset: string | null;
  readonly history: readonly string[];
};

export interface SharedState {
  /** Null: no stream comes from the log. */
  readonly log: KeptLog | null;
  /** Where tables come to the log, while the log is not there yet. */
  readonly entry: LogEntryRecord | null;
}

const nothingShared: SharedState = { log: null, entry: null };

export function describeSharedState(state: SharedState): object {
  return { millrace: VERSION, ...state };
}

/** Null: the log is not followed yet. */
export function keepLog(record: LogRecord | null): KeptLog | null {
  if (record === null) return null;
  const { slot, publication, identity, position, offset, history } = record;
  return identity === null || position === null
    ? null
    : { slot, publication, identity, position, offset, history };
}

/**
 * What is shared by the states that a platform gives.
 * @throws ExtractError STATE_INCOMPATIBLE for what another connector has written, or this one without the log
 */
export function parseSharedState(states: readonly AirbyteState[]): SharedState {
  if (states.length === 0) return nothingShared;
  const [first, second] = states;
  const shared = first?.global?.shared_state;
  if (shared === undefined || shared === null || second !== undefined)
    throw incompatible();
  const members = shared as Partial<SharedState> & {
    readonly millrace?: unknown;
  };
  const { millrace, log = null, entry = null } = members;
  const isWhole =
    millrace === VERSION &&
    (log === null || isLog(log)) &&
    (entry === null || (log !== null && isPlace(entry)));
  if (!isWhole) throw incompatible();
  return { log, entry };
}

function isPlace(value: Partial<LogEntryRecord>): boolean {
  const { position, offset, history } = value;
  return (
    typeof position === "string" &&
    isLogPosition(position) &&
    typeof offset === "string" &&
    Array.isArray(history) &&
    history.every((one) => typeof one === "string")
  );
}

function isLog(value: Partial<KeptLog>): boolean {
  const { slot, publication, identity, offset, ...place } = value;
  return (
    [slot, publication, identity].every((one) => typeof one === "string") &&
    isPlace({ ...place, offset: offset ?? "" })
  );
}

function incompatible(): ExtractError {
  return new ExtractError(
    "STATE_INCOMPATIBLE",
    "the state is not one of this connector's that captures changes: clear it, and every stream is read from its beginning",
    {},
  );
}
