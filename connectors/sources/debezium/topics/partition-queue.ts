/**
 * Messages of one partition that have come and are not told yet, with where in the source's log their changes were made.
 * Those that a connector brings again are passed over here. Pure.
 */
import { ExtractError } from "../../../../proto/error.ts";
import { ChangeEvent } from "../events/event.ts";
import type { PartitionRef, TopicMessage } from "./client.ts";
import { readPlace } from "./places.ts";
import { nameOf, type Reached } from "./state.ts";

/** Changes of one place, such as the rows of one COPY, that are told from another. */
const SAME_PLACE_MAX = 100_000;
/** Of a message besides its bytes. */
const MESSAGE_BYTES_EXTRA = 200;

export interface Change {
  readonly message: TopicMessage;
  /** Sorts as the source's log; empty: of no place there, or it cannot be read. */
  readonly place: string;
}

/** The table that a topic tells of. */
export interface TopicTable {
  readonly namespace: string;
  readonly table: string;
}

export class PartitionQueue {
  readonly ref: PartitionRef;
  readonly name: string;
  /** Of the next message to be fetched. */
  fetchNext: bigint;
  /** What is from here on is not asked for yet. */
  end = 0n;
  /** Answers without a message, one after another. */
  emptyAnswers = 0;
  /** Behind the last change that was taken, and what was passed over behind it. */
  consumed: bigint;
  bytes = 0;
  /** Changes that had come before. */
  repeats = 0;
  reached: Reached | null;
  readonly #table: TopicTable;
  readonly #event = new ChangeEvent();
  #messages: TopicMessage[] = [];
  #first = 0;
  #head: Change | null = null;
  #samePlace = new Set<string>();

  constructor(
    ref: PartitionRef,
    table: TopicTable,
    from: bigint,
    reached: Reached | null,
  ) {
    this.ref = ref;
    this.name = nameOf(ref.topic, ref.partition);
    this.#table = table;
    this.fetchNext = from;
    this.consumed = from;
    this.reached = reached;
  }

  /** Messages as they come, and the offset behind them. */
  push(messages: readonly TopicMessage[], next: bigint): void {
    for (const message of messages) {
      this.#messages.push(message);
      this.bytes += bytesOf(message);
    }
    this.fetchNext = next;
  }

  /**
   * The next change before `end`; null where there is none that has come.
   * @throws ExtractError SOURCE_LOG_UNSUITABLE for one of another table
   */
  peek(end: bigint): Change | null {
    if (this.#head !== null)
      return BigInt(this.#head.message.offset) < end ? this.#head : null;
    for (;;) {
      const message = this.#messages[this.#first];
      if (message === undefined) {
        this.#messages = [];
        this.#first = 0;
        // what is not told of, such as the marks of transactions
        if (this.fetchNext > this.consumed)
          this.consumed = this.fetchNext < end ? this.fetchNext : end;
        return null;
      }
      if (BigInt(message.offset) >= end) {
        if (this.consumed < end) this.consumed = end;
        return null;
      }
      this.#head = this.#read(message);
      if (this.#head !== null) return this.#head;
      this.#advance(message);
    }
  }

  /** Takes what was looked at. */
  take(): Change {
    const head = this.#head;
    if (head === null) throw new Error("there is nothing to take");
    this.#head = null;
    this.#advance(head.message);
    return head;
  }

  #advance(message: TopicMessage): void {
    this.bytes -= bytesOf(message);
    this.consumed = BigInt(message.offset) + 1n;
    this.#messages[this.#first++] = nothing;
    if (this.#first < 1_024 || this.#first < this.#messages.length / 2) return;
    this.#messages = this.#messages.slice(this.#first);
    this.#first = 0;
  }

  /** Null for what is no change of a row, and for one that has come before. */
  #read(message: TopicMessage): Change | null {
    const { topic } = this.ref;
    const event = this.#event;
    try {
      event.read({
        ...message,
        topic,
        number: Number(message.offset),
        order: 1,
        headers: null,
      });
      if (event.kind !== "change") return null;
      const { place } = readPlace(event);
      const { namespace, table } = event;
      if (namespace !== this.#table.namespace || table !== this.#table.table)
        throw new ExtractError(
          "SOURCE_LOG_UNSUITABLE",
          `${topic} tells of ${this.#table.namespace}.${this.#table.table} and of ${namespace}.${table}: each table needs a topic of its own`,
          { topic, offset: message.offset },
        );
      return this.#isRepeated(
        place,
        event.committedUs,
        `${event.op}${message.key?.toString("latin1") ?? ""}`,
      )
        ? null
        : { message, place };
    } catch (error) {
      // whoever decodes it says what becomes of it
      if (
        error instanceof ExtractError &&
        error.code === "SOURCE_EVENT_INVALID"
      )
        return { message, place: "" };
      throw error;
    }
  }

  /**
   * A place that lies before the furthest one has come before: a partition tells what its connector tells, and that goes
   * as the log does. Unless it was committed later: then the log is another one than before, after a failover.
   */
  #isRepeated(place: string, us: number, identity: string): boolean {
    const { reached } = this;
    if (place === "") return false;
    if (reached !== null && place === reached.place) {
      if (this.#samePlace.has(identity)) {
        this.repeats += 1;
        return true;
      }
    } else {
      if (reached !== null && place < reached.place && us <= reached.us) {
        this.repeats += 1;
        return true;
      }
      this.reached = { place, us };
      this.#samePlace.clear();
    }
    if (this.#samePlace.size < SAME_PLACE_MAX) this.#samePlace.add(identity);
    return false;
  }
}

const nothing: TopicMessage = {
  offset: "0",
  key: null,
  value: null,
  headers: {},
};

function bytesOf({ key, value }: TopicMessage): number {
  return (key?.length ?? 0) + (value?.length ?? 0) + MESSAGE_BYTES_EXTRA;
}
