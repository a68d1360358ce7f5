/** What a run's book knows of a foreign source: how each of its streams is read, and from which of its states. */
import { createHash } from "node:crypto";
import type { Ledger } from "../checkpoint/store/ledger.ts";
import type {
  DiscoveredWire,
  MessageStreamOrder,
  SourceOrder,
} from "../proto/control.ts";
import { isIncremental, type StreamRef, type SyncMode } from "./request.ts";
import {
  buildStates,
  coveredOf,
  destinationModeOf,
  readKept,
  writeKept,
} from "./source-states.ts";

type Named = Pick<StreamRef, "namespace" | "name">;

export interface ForeignBookSettings {
  readonly ledger: Ledger;
  readonly syncId: string;
  readonly runId: string;
  readonly mode: SyncMode;
  readonly cursor: { readonly column: string } | null;
  /** Streams that are each read in their own way. */
  readonly messages?: {
    choiceOf(stream: Named): { readonly mode: SyncMode } | null;
  } | null;
}

interface OpenStream {
  readonly ref: StreamRef;
  readonly generation: number;
  readonly mode: SyncMode;
  readonly state: string;
}

export class ForeignBook {
  readonly #settings: ForeignBookSettings;
  /** Of which the source gives what is new. */
  readonly #incremental = new Set<string>();

  constructor(settings: ForeignBookSettings) {
    this.#settings = settings;
  }

  note(discovered: readonly DiscoveredWire[]): void {
    for (const { schema, foreign } of discovered)
      if (foreign?.isIncremental) this.#incremental.add(keyOf(schema));
  }

  /** Whether this run's copy takes the place of the earlier ones, whatever the sync's mode says. */
  isCopiedWhole(stream: Named): boolean {
    const mode = this.#modeOf(stream);
    if (!isIncremental(mode)) return false;
    return !this.#incremental.has(keyOf(stream)) || this.#isLeftBehind(stream);
  }

  #modeOf(stream: Named): SyncMode {
    const { messages, mode } = this.#settings;
    return messages?.choiceOf(stream)?.mode ?? mode;
  }

  /** The state of all streams has gone on without this one, which is read from its beginning therefore. */
  #isLeftBehind(stream: Named): boolean {
    const own = this.#keptOf(stream);
    if (own?.scope !== "GLOBAL") return false;
    const { ledger, syncId } = this.#settings;
    return ledger.lastSchemasOf(syncId).some((other) => {
      const kept = this.#keptOf(other);
      return (
        kept?.scope === "GLOBAL" && kept.at > own.at && kept.body !== own.body
      );
    });
  }

  #keptOf({ namespace, name }: Named): ReturnType<typeof readKept> {
    const { ledger, syncId, runId } = this.#settings;
    return ledger.isStreamReset(runId, namespace, name)
      ? null
      : readKept(ledger.cursorState(syncId, namespace, name));
  }

  order(
    streams: readonly OpenStream[],
    keepsStates: boolean,
  ): Extract<SourceOrder, { type: "source.messages" }> {
    const { ledger, runId, cursor } = this.#settings;
    const open = streams.filter(({ state }) => state === "open");
    const orders = open.map((stream): MessageStreamOrder => {
      const { ref, generation, mode } = stream;
      return {
        stream: ref.number,
        syncMode: this.#syncModeOf(ref),
        destinationSyncMode: destinationModeOf(mode),
        cursorField: cursor === null ? null : [cursor.column],
        generation,
        generationMin: mode === "full-refresh-overwrite" ? generation : 0,
      };
    });
    const states = buildStates(
      open.map(({ ref }) => ({
        ref,
        syncMode: this.#syncModeOf(ref),
        kept: this.#isLeftBehind(ref) ? null : this.#keptOf(ref),
      })),
      coveredOf(ledger, runId),
    );
    return {
      type: "source.messages",
      streams: orders,
      syncId: numberRun(runId),
      states,
      keepsStates,
    };
  }

  #syncModeOf(stream: Named): MessageStreamOrder["syncMode"] {
    return isIncremental(this.#modeOf(stream)) &&
      this.#incremental.has(keyOf(stream))
      ? "incremental"
      : "full_refresh";
  }

  /**
   * What is kept of a stream for the next run, once it is committed: all of it is durable then, so that the last state of
   * it counts, and so does the last one of all streams, whatever has become of the others.
   */
  describeState(stream: StreamRef): string | null {
    if (this.#syncModeOf(stream) !== "incremental") return null;
    const { ledger, runId } = this.#settings;
    const states = ledger.sourceStatesOf(runId);
    const own = states.findLast(
      (one) =>
        one.stream === stream.number && one.scope === "STREAM" && one.body,
    );
    const all = states.findLast((one) => one.stream === null && one.body);
    const body = own?.body ?? all?.body ?? null;
    if (body === null) return null;
    return writeKept({
      scope: own ? "STREAM" : "GLOBAL",
      at: Date.now(),
      body,
    });
  }
}

function keyOf({ namespace, name }: Named): string {
  return JSON.stringify([namespace, name]);
}

/** The protocol's numbers of syncs are integers, and a double has to hold them. */
function numberRun(runId: string): number {
  return createHash("sha256").update(runId).digest().readUIntBE(0, 6);
}
