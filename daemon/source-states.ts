/**
 * The states of a foreign source, between the ledger and the connector: recorded as they come, told of once all that
 * they cover is recorded, and given back to the connector by the next attempt or the next run.
 */
import { strict as assert } from "node:assert";
import {
  findCovered,
  type CoveredStates,
} from "../checkpoint/store/source-states.ts";
import type { Ledger } from "../checkpoint/store/ledger.ts";
import { parseExact } from "../connectors/airbyte/exact-json.ts";
import type { MessageStreamOrder, StateGroupWire } from "../proto/control.ts";
import type { StreamRef, SyncMode } from "./request.ts";

/** Groups that wait for their rows to be durable: the channel's back-pressure ends long before. */
const GROUPS_WAITING_MAX = 100_000;
/** Members of a STATE's body that are of the message that brought it, and not of the state. */
const ofMessage = [
  "sourceStats",
  "destinationStats",
  "id",
  "partition_id",
] as const;

interface GroupsPlace {
  readonly ledger: Ledger;
  readonly runId: string;
  readonly epoch: number;
}

/** Tells of groups whose checkpoints are recorded, each stream's in their order. */
export class SourceGroups {
  readonly #place: GroupsPlace;
  readonly #recorded = new Map<number, number>();
  #waiting: StateGroupWire[] = [];

  constructor(place: GroupsPlace) {
    this.#place = place;
  }

  /** On disk before anything that it covers is told to be recorded. */
  add(group: StateGroupWire): void {
    assert(this.#waiting.length < GROUPS_WAITING_MAX, "too many groups");
    const { ledger, runId, epoch } = this.#place;
    ledger.recordSourceState(runId, epoch, group);
    this.#waiting.push(group);
  }

  noteRecorded(stream: number, index: number): void {
    this.#recorded.set(stream, index);
  }

  /** The groups that count by now, in their order. */
  take(): readonly StateGroupWire[] {
    const taken: StateGroupWire[] = [];
    const blocked = new Set<number | null>();
    this.#waiting = this.#waiting.filter((group) => {
      const { stream, members } = group;
      const isDone = members.every(
        (one) => (this.#recorded.get(one.stream) ?? 0) >= one.index,
      );
      const isBlocked =
        blocked.has(null) ||
        (stream === null ? blocked.size > 0 : blocked.has(stream));
      if (isDone && !isBlocked) {
        taken.push(group);
        return false;
      }
      blocked.add(stream);
      return true;
    });
    return taken;
  }
}

/** What a run has, by its ledger. */
export function coveredOf(ledger: Ledger, runId: string): CoveredStates {
  return findCovered(ledger.sourceStatesOf(runId), ledger.durableOf(runId));
}

interface KeptState {
  readonly scope: "STREAM" | "GLOBAL";
  /** When it was kept: of the states of all streams the latest counts, and streams that have another one do not. */
  readonly at: number;
  /** A STATE's body. */
  readonly body: string;
}

/** A stream's state as the ledger keeps it from run to run; null: what another kind of source has left. */
export function readKept(state: string | null): KeptState | null {
  if (state === null) return null;
  try {
    const { foreign } = JSON.parse(state) as { readonly foreign?: KeptState };
    return typeof foreign?.body === "string" ? foreign : null;
  } catch {
    return null;
  }
}

export function writeKept(kept: KeptState): string {
  return JSON.stringify({ foreign: kept });
}

/** A stream, and what is to be done with it. */
export interface StreamToRead {
  readonly ref: StreamRef;
  readonly syncMode: MessageStreamOrder["syncMode"];
  /** What was kept of it by the last run that has committed it. */
  readonly kept: KeptState | null;
}

/**
 * What the connector is given as its state, as JSON; null: nothing. What this run has goes before what the runs before
 * it have left, which is for incremental streams alone.
 */
export function buildStates(
  streams: readonly StreamToRead[],
  { ofStreams, ofAll }: CoveredStates,
): string | null {
  const own = streams.flatMap(({ ref }) => {
    const body = ofStreams.get(ref.number);
    return body === undefined ? [] : [body];
  });
  const before = streams.flatMap(({ ref, syncMode, kept }) =>
    kept !== null && syncMode === "incremental" && !ofStreams.has(ref.number)
      ? [kept]
      : [],
  );
  const global = ofAll ?? newestGlobal(before);
  const bodies =
    global === null
      ? [
          ...own,
          ...before
            .filter(({ scope }) => scope === "STREAM")
            .map(({ body }) => body),
        ]
      : [ofAll ?? withoutOthers(global, streams)];
  if (bodies.length === 0) return null;
  const [first = ""] = bodies;
  const legacy = readLegacy(first);
  if (legacy !== null) return legacy;
  return `[${bodies.map(stripMessage).join(",")}]`;
}

function newestGlobal(kept: readonly KeptState[]): string | null {
  const all = kept.filter(({ scope }) => scope === "GLOBAL");
  return all.toSorted((a, b) => b.at - a.at)[0]?.body ?? null;
}

/** Streams that the last run has not brought as far as the others are to be read anew. */
function withoutOthers(body: string, streams: readonly StreamToRead[]): string {
  const fit = streams.filter(({ kept }) => kept?.body === body);
  const state = parseExact(body) as {
    global?: {
      stream_states?: {
        stream_descriptor: { name: string; namespace?: string | null };
      }[];
    };
  };
  const states = state.global?.stream_states;
  if (!states || fit.length === streams.length) return body;
  const isFit = ({
    stream_descriptor: { name, namespace },
  }: (typeof states)[number]): boolean =>
    fit.some(
      ({ ref }) => ref.name === name && ref.namespace === (namespace ?? ""),
    );
  return JSON.stringify({
    ...state,
    global: { ...state.global, stream_states: states.filter(isFit) },
  });
}

/** The first protocol's states have no type: the connector is given what it gave. */
function readLegacy(body: string): string | null {
  const state = parseExact(body) as { type?: string; data?: unknown };
  return state.type === undefined || state.type === "LEGACY"
    ? JSON.stringify(state.data ?? {})
    : null;
}

function stripMessage(body: string): string {
  const state = parseExact(body) as Record<string, unknown>;
  for (const name of ofMessage) delete state[name];
  return JSON.stringify(state);
}

export function destinationModeOf(
  mode: SyncMode,
): MessageStreamOrder["destinationSyncMode"] {
  switch (mode) {
    case "full-refresh-overwrite":
      return "overwrite";
    case "incremental-append-dedupe":
      return "append_dedup";
    default:
      return "append";
  }
}
