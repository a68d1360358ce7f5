/** What one connector gives, as it is followed: its streams, the lanes that their rows go by, and what came by each. */
import { showStream } from "../airbyte/catalog.ts";
import { namespaceOf } from "../airbyte/messages.ts";
import { PartitionStates } from "../airbyte/partition-states.ts";
import { ExtractError } from "../../proto/error.ts";
import type {
  RecordDecoder,
  RecordFacts,
  RecordValues,
} from "../sources/airbyte/record-decoder.ts";
import type { ReadRows } from "./source-rows.ts";

/** Streams that were not asked for, which are told of once. */
const STRANGERS_MAX = 100;

export interface MessageLane {
  readonly rows: ReadRows;
  readonly decoder: RecordDecoder;
}

export interface MessageStream {
  readonly number: number;
  /** Empty: in no namespace. */
  readonly namespace: string;
  readonly name: string;
  /** The source is asked for what is new; else it gives the whole. */
  readonly isIncremental: boolean;
  /** One for each socket, or one. */
  readonly lanes: readonly MessageLane[];
}

/** A record, however it was written. */
export interface ForeignRecord extends RecordValues, RecordFacts {
  isOf(namespace: Uint8Array | null, name: Uint8Array): boolean;
  readonly stream: string;
  readonly namespace: string | null;
  readonly partitionId: string | null;
}

export type StateScope = "STREAM" | "GLOBAL" | "LEGACY";

export interface PassedState {
  readonly body: string;
  /** Records since the state before. */
  readonly rows: number;
}

export interface StateGroup {
  /** From 1. */
  readonly group: number;
  /** Null: it covers the end of a stream that has given no state. */
  readonly scope: StateScope | null;
  /** Of a state of one stream. */
  readonly stream: number | null;
  /** The STATE's body as JSON; null: as it was before. */
  readonly body: string | null;
  /** All states that it stands for, in their order, the last one included; empty unless they are wanted. */
  readonly bodies: readonly PassedState[];
  readonly members: readonly {
    readonly stream: number;
    readonly index: number;
  }[];
}

export type LogLevel = "error" | "warn" | "info" | "debug";

export interface Lane extends MessageLane {
  readonly ordinal: number;
  /** Batches on their way; the first free one ends the wait. */
  sending: Promise<void> | null;
  /** Checkpoints that wait for their index. */
  readonly asked: ((index: number) => void)[];
  /** In socket mode: whose rows are behind the last checkpoint. */
  segment: Segment | null;
  hasRows: boolean;
}

/** Rows of one partition of the source. */
export interface Segment {
  readonly partition: string;
  readonly lane: Lane;
  rows: number;
  index: Promise<number> | null;
}

export interface Followed {
  readonly stream: MessageStream;
  readonly shown: string;
  readonly namespaceBytes: Uint8Array | null;
  readonly nameBytes: Uint8Array;
  readonly lanes: readonly Lane[];
  readonly segments: Map<string, Segment>;
  readonly states: PartitionStates;
  rowsSinceState: number;
  checkpointedAt: number;
  /** States behind the last group. */
  passed: PassedState[];
  status: string | null;
  /** It has come to its end, or is given up. */
  isOver: boolean;
}

/** Streams by the ways in which messages name them. */
export class FollowedStreams {
  readonly all: readonly Followed[];
  readonly #byNumber: ReadonlyMap<number, Followed>;
  readonly #strangers = new Set<string>();
  readonly #onLog: (level: LogLevel, message: string) => void;
  #latest: Followed | null = null;

  constructor(
    streams: readonly MessageStream[],
    onLog: (level: LogLevel, message: string) => void,
  ) {
    this.all = streams.map(follow);
    this.#byNumber = new Map(this.all.map((one) => [one.stream.number, one]));
    this.#onLog = onLog;
  }

  byNumber(stream: number): Followed | undefined {
    return this.#byNumber.get(stream);
  }

  /** @throws ExtractError CONNECTOR_MESSAGE_INVALID for one that was not asked for */
  findOf(record: ForeignRecord): Followed {
    const latest = this.#latest;
    if (latest && record.isOf(latest.namespaceBytes, latest.nameBytes))
      return latest;
    const found = this.all.find((one) =>
      record.isOf(one.namespaceBytes, one.nameBytes),
    );
    if (found === undefined) throw refuseStranger("records", record);
    this.#latest = found;
    return found;
  }

  /** Of rows that come as columns. @throws ExtractError as `findOf` */
  findExactly(of: {
    readonly namespace: string;
    readonly name: string;
  }): Followed {
    const found = this.all.find(
      ({ stream }) =>
        stream.name === of.name && stream.namespace === of.namespace,
    );
    if (found === undefined)
      throw refuseStranger("rows", { ...of, stream: of.name });
    return found;
  }

  /** Null: it was not asked for. */
  findNamed(descriptor: {
    readonly name: string;
    readonly namespace?: string | null | undefined;
  }): Followed | null {
    const namespace = namespaceOf(descriptor) ?? "";
    const found = this.all.find(
      ({ stream }) =>
        stream.name === descriptor.name && stream.namespace === namespace,
    );
    if (found) return found;
    const shown = showStream(descriptor);
    if (!this.#strangers.has(shown) && this.#strangers.size < STRANGERS_MAX) {
      this.#strangers.add(shown);
      this.#onLog(
        "debug",
        `the source speaks of ${shown}, which it was not asked for`,
      );
    }
    return null;
  }
}

function follow(stream: MessageStream): Followed {
  return {
    stream,
    shown: showStream(stream),
    namespaceBytes:
      stream.namespace === "" ? null : Buffer.from(stream.namespace),
    nameBytes: Buffer.from(stream.name),
    lanes: stream.lanes.map((lane, ordinal) => ({
      ...lane,
      ordinal,
      sending: null,
      asked: [],
      segment: null,
      hasRows: false,
    })),
    segments: new Map(),
    states: new PartitionStates(showStream(stream)),
    rowsSinceState: 0,
    checkpointedAt: performance.now(),
    passed: [],
    status: null,
    isOver: false,
  };
}

function refuseStranger(
  what: string,
  of: { readonly stream: string; readonly namespace: string | null },
): ExtractError {
  const { stream, namespace } = of;
  return new ExtractError(
    "CONNECTOR_MESSAGE_INVALID",
    `the source sends ${what} of ${showStream({ name: stream, namespace })}, which it was not asked for`,
    { stream },
  );
}
