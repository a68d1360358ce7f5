/**
 * How far topics have been read, as the ledger keeps it: the engine's offset of such a log. Rows are counted in units,
 * one a checkpoint, and a unit is made durable as a whole or taken up again as a whole: between the same offsets, which
 * are in the ledger before any of its rows counts.
 */
import { ExtractError } from "../../../../proto/error.ts";
import type { EngineOffset } from "../engine/protocol.ts";

/** Offsets by `topic/partition`: of the first message that does not belong any more. */
export type Offsets = Readonly<Record<string, string>>;

/** The furthest place of the source that a partition has told of. */
export interface Reached {
  readonly place: string;
  /** When the source committed it. */
  readonly us: number;
}

export interface TopicsState {
  /** Of the last unit that is complete. */
  readonly unit: number;
  readonly at: Offsets;
  /** Where the next unit ends, if that is decided. */
  readonly to: Offsets | null;
  readonly reached: Readonly<Record<string, Reached>>;
}

export const emptyState: TopicsState = {
  unit: 0,
  at: {},
  to: null,
  reached: {},
};

export function nameOf(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

export function formatState(state: TopicsState): EngineOffset {
  return JSON.stringify(state) as EngineOffset;
}

/** @throws ExtractError STATE_INCOMPATIBLE for what is none */
export function parseState(text: string | null): TopicsState {
  if (text === null) return emptyState;
  try {
    const state = JSON.parse(text) as TopicsState;
    const isState =
      Number.isSafeInteger(state.unit) &&
      [state.at, state.to ?? {}].every((offsets) =>
        Object.values(offsets).every((offset) => /^\d{1,19}$/.test(offset)),
      ) &&
      typeof state.reached === "object";
    if (isState) return state;
  } catch {
    // told below
  }
  throw new ExtractError(
    "STATE_INCOMPATIBLE",
    "the ledger's offsets of the source's topics are none",
    { offset: text.slice(0, 200) },
  );
}
