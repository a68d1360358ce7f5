/**
 * The states of a foreign source, and the checkpoints that they cover. What a state covers is a group: one checkpoint of
 * each stream (and lane) that it speaks of, with the state to be given back once all of them are recorded.
 *
 * Not every state becomes a checkpoint, which ends a file: a state that comes soon after the last one is passed over, and
 * the next one stands for both.
 */
import type { AirbyteState } from "../airbyte/messages.ts";
import { countMismatch, PartitionStates } from "../airbyte/partition-states.ts";
import { ExtractError } from "../../proto/error.ts";
import type { StateGroups } from "./message-groups.ts";
import type { MessageLanes, Member } from "./message-lanes.ts";
import type {
  Followed,
  FollowedStreams,
  PassedState,
  StateScope,
} from "./message-streams.ts";

export interface MessageStatesOptions {
  readonly streams: FollowedStreams;
  readonly lanes: MessageLanes;
  readonly groups: StateGroups;
  readonly checkpointEveryMs: number;
  /** As in `MessageRowsOptions`. */
  readonly hasPartitions: boolean;
  readonly keepsStates: boolean;
}

type StreamDescriptor = Parameters<FollowedStreams["findNamed"]>[0];

/** The stream that a state is of. @throws ExtractError CONNECTOR_MESSAGE_INVALID */
export function describedBy({ stream }: AirbyteState): StreamDescriptor {
  const descriptor = stream?.stream_descriptor;
  if (descriptor !== undefined) return descriptor;
  throw new ExtractError(
    "CONNECTOR_MESSAGE_INVALID",
    "a state of one stream does not say of which",
  );
}

export class MessageStates {
  readonly #options: MessageStatesOptions;
  readonly #streams: FollowedStreams;
  readonly #lanes: MessageLanes;
  readonly #groups: StateGroups;
  readonly #global = new PartitionStates("all streams");
  #scope: StateScope | null = null;
  #rowsSinceGlobal = 0;
  #globalAt = performance.now();
  #passed: PassedState[] = [];

  constructor(options: MessageStatesOptions) {
    this.#options = options;
    this.#streams = options.streams;
    this.#lanes = options.lanes;
    this.#groups = options.groups;
  }

  /** Null: none has come. */
  get scope(): StateScope | null {
    return this.#scope;
  }

  /** @throws ExtractError CONNECTOR_MESSAGE_INVALID where the ones before were of another kind */
  noteScope({ type }: AirbyteState): StateScope {
    const scope = type ?? "LEGACY";
    if (this.#scope !== null && this.#scope !== scope)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `the source gives states of two kinds, ${this.#scope} and ${scope}`,
      );
    this.#scope = scope;
    return scope;
  }

  countRows(followed: Followed, rows: number): void {
    followed.rowsSinceState += rows;
    this.#rowsSinceGlobal += rows;
  }

  /** A state that was here before its last record waits for it. */
  match(followed: Followed): Promise<void> | void {
    if (followed.states.isWaiting || this.#global.isWaiting)
      return this.#matchStates(followed);
  }

  /**
   * A state of one stream.
   * @param isEnding all of it has come, and the checkpoint is made with that
   * @throws ExtractError
   */
  async takeOwn(
    followed: Followed,
    state: AirbyteState,
    body: string,
    isEnding: boolean,
  ): Promise<void> {
    if (this.#options.hasPartitions) {
      followed.states.add(this.#readPartitionState(state, body, followed));
      await this.#matchStates(followed);
      return;
    }
    const counted = state.sourceStats?.recordCount;
    if (counted !== undefined && counted !== followed.rowsSinceState)
      throw countMismatch(
        `the state of ${followed.shown}`,
        counted,
        followed.rowsSinceState,
      );
    const rows = followed.rowsSinceState;
    followed.rowsSinceState = 0;
    followed.passed = this.#pass(followed.passed, { body, rows });
    if (isEnding || !this.#isTime(followed.checkpointedAt)) return;
    followed.checkpointedAt = performance.now();
    await this.tellOwn(followed, false);
  }

  /** A state of all streams. @throws ExtractError */
  async takeGlobal(
    state: AirbyteState,
    body: string,
    scope: "GLOBAL" | "LEGACY",
  ): Promise<void> {
    if (scope === "GLOBAL" && !state.global)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        "a global state holds no `global`",
      );
    if (this.#options.hasPartitions) {
      this.#global.add(this.#readPartitionState(state, body, null));
      await this.#matchGlobal();
      return;
    }
    const counted = state.sourceStats?.recordCount;
    if (counted !== undefined && counted !== this.#rowsSinceGlobal)
      throw countMismatch(
        "the state of all streams",
        counted,
        this.#rowsSinceGlobal,
      );
    const rows = this.#rowsSinceGlobal;
    this.#rowsSinceGlobal = 0;
    this.#passed = this.#pass(this.#passed, { body, rows });
    if (!this.#isTime(this.#globalAt)) return;
    this.#globalAt = performance.now();
    const members = this.#streams.all.flatMap((one) =>
      one.isOver ? [] : this.#lanes.closeLanes(one, false),
    );
    await this.tellGlobal(members);
  }

  #readPartitionState(
    state: AirbyteState,
    body: string,
    followed: Followed | null,
  ): Parameters<PartitionStates["add"]>[0] {
    const recordCount = state.sourceStats?.recordCount;
    const { id, partition_id: partition } = state;
    const of = followed?.shown ?? "all streams";
    if (
      typeof id !== "number" ||
      recordCount === undefined ||
      typeof partition !== "string"
    )
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `a state of ${of} has no ${typeof id !== "number" ? "id" : recordCount === undefined ? "sourceStats.recordCount" : "partition_id"}, which sockets need`,
        { stream: of },
      );
    const inner =
      state.global?.stream_states.flatMap((one) => {
        const own = one["partition_id"];
        return typeof own === "string" ? [own] : [];
      }) ?? [];
    return {
      id,
      partitions: [...new Set([partition, ...inner])],
      recordCount,
      body,
    };
  }

  async #matchStates(followed: Followed): Promise<void> {
    if (this.#scope === "GLOBAL") return this.#matchGlobal();
    for (;;) {
      const state = followed.states.take(
        (partition) => followed.segments.get(partition)?.rows ?? 0,
      );
      if (state === null) return;
      const members = this.#lanes.closeSegments(followed, state.partitions);
      await this.#groups.tell(
        {
          scope: "STREAM",
          stream: followed.stream.number,
          body: state.body,
          bodies: this.#keep(state),
        },
        members,
      );
    }
  }

  async #matchGlobal(): Promise<void> {
    for (;;) {
      const state = this.#global.take((partition) =>
        this.#countRows(partition),
      );
      if (state === null) return;
      const members = this.#streams.all.flatMap((one) =>
        this.#lanes.closeSegments(one, state.partitions),
      );
      await this.#groups.tell(
        {
          scope: "GLOBAL",
          stream: null,
          body: state.body,
          bodies: this.#keep(state),
        },
        members,
      );
    }
  }

  /** Of all streams. */
  #countRows(partition: string): number {
    return this.#streams.all.reduce(
      (sum, { segments }) => sum + (segments.get(partition)?.rows ?? 0),
      0,
    );
  }

  /**
   * Everything has arrived that ever will.
   * @throws ExtractError CONNECTOR_COUNT_MISMATCH, CONNECTOR_STATE_MISSING
   */
  end(): void {
    for (const { states, segments } of this.#streams.all)
      states.end((partition) => segments.get(partition)?.rows ?? 0);
    this.#global.end((partition) => this.#countRows(partition));
  }

  #pass(passed: PassedState[], state: PassedState): PassedState[] {
    if (!this.#options.keepsStates) return [state];
    passed.push(state);
    return passed;
  }

  #keep({
    body,
    recordCount: rows,
  }: {
    readonly body: string;
    readonly recordCount: number;
  }): readonly PassedState[] {
    return this.#options.keepsStates ? [{ body, rows }] : [];
  }

  #isTime(since: number): boolean {
    return (
      this.#groups.isHurried ||
      performance.now() - since >= this.#options.checkpointEveryMs
    );
  }

  /** The checkpoints of one stream, with its last state. @param last all of it has come */
  async tellOwn(followed: Followed, last: boolean): Promise<void> {
    const { passed, stream } = followed;
    followed.passed = [];
    const body = passed.at(-1)?.body ?? null;
    const members = this.#lanes.closeLanes(followed, last);
    await this.#groups.tell(
      {
        scope: body === null ? null : "STREAM",
        stream: stream.number,
        body,
        bodies: this.#options.keepsStates ? passed : [],
      },
      members,
    );
  }

  /** The checkpoints of all streams, with their last state. */
  async tellGlobal(members: readonly Member[]): Promise<void> {
    const passed = this.#passed;
    this.#passed = [];
    const body = passed.at(-1)?.body ?? null;
    await this.#groups.tell(
      {
        scope: body === null ? null : this.#scope,
        stream: null,
        body,
        bodies: this.#options.keepsStates ? passed : [],
      },
      members,
    );
  }
}
