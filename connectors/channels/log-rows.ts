/**
 * The source's log from the engine to one channel: the rows of all streams in their order, and at commits the
 * checkpoints that cover them. A checkpoint of all streams is a group: one of each stream that has had rows since the
 * group before, with the place in the log that the source may forget up to once all of them are recorded.
 */
import { strict as assert } from "node:assert";
import type { LogPlace } from "../../proto/control.ts";
import { ExtractError } from "../../proto/error.ts";
import {
  positionBehind,
  positionOfSnapshot,
} from "../../proto/log-position.ts";
import { positionOf } from "../sources/debezium/engine/offsets.ts";
import type {
  EngineEvent,
  EngineMessage,
  EngineOffset,
} from "../sources/debezium/engine/protocol.ts";
import { ChangeEvent } from "../sources/debezium/events/event.ts";
import { makePlace, type Place } from "../sources/debezium/events/positions.ts";
import type { LogDecoder } from "./log-decoder.ts";
import { readVisible } from "./snapshot-visible.ts";
import type { ReadRows } from "./source-rows.ts";

/** What of the engine is used here. */
export interface LogEngine {
  messages(): AsyncGenerator<readonly EngineMessage[], void>;
  ack(offset: EngineOffset): void;
  drain(): Promise<void>;
  kill(): Promise<void>;
}

export interface LogStream {
  readonly number: number;
  readonly namespace: string;
  readonly name: string;
  /** Changes up to and with this position are durable. */
  readonly after: string;
  /** So is what these transactions have done; null: none behind `after`. */
  readonly visible: string | null;
  readonly rows: ReadRows;
  readonly decoder: LogDecoder;
}

export interface LogGroup {
  readonly group: number;
  readonly position: string;
  readonly offset: string | null;
  readonly history: readonly string[] | null;
  readonly members: readonly {
    readonly stream: number;
    readonly index: number;
  }[];
}

export interface LogRowsOptions {
  readonly engine: LogEngine;
  readonly streams: readonly LogStream[];
  readonly sourceEpoch: number;
  readonly from: LogPlace;
  /** The log ends once it has got here; null: when it is told to. */
  readonly until: string | null;
  /** Changes up to here were made before the streams were discovered. */
  readonly discoveredAt: string;
  readonly checkpointEveryMs: number;
  readonly events: {
    onGroup(group: LogGroup): void;
    /** Answered by `end`. */
    onEnding(position: string): void;
  };
}

interface Followed extends LogStream {
  readonly isVisible: (transaction: string | null) => boolean;
  readonly namespaceBytes: Uint8Array;
  readonly nameBytes: Uint8Array;
  hasRows: boolean;
  /** Batches that are on their way; the first free one ends the wait. */
  sending: Promise<void> | null;
}

/** A transaction that is being read. */
interface Transaction {
  readonly behind: string;
  readonly place: Place;
}

export class LogRows {
  readonly #options: LogRowsOptions;
  readonly #followed: Followed[];
  readonly #byNumber: ReadonlyMap<number, Followed>;
  /** Of the event before: the next one is mostly of the same table. */
  #latest: Followed | null = null;
  readonly #event = new ChangeEvent();
  readonly #ended = Promise.withResolvers<string>();
  readonly #indexes = new Map<number, number>();
  /** Offsets of groups that the ledger does not have yet. */
  readonly #offsets = new Map<number, string>();
  #transaction: Transaction | null = null;
  #position: string;
  #groupPosition: string;
  #offset: string | null = null;
  readonly #history: string[];
  #historyAt: readonly string[] | null = null;
  #hasHistoryNews = false;
  #group = 0;
  #groupAt = performance.now();
  #committed = Promise.withResolvers<void>();
  #lastCommitted = 0;
  #wish: "stop" | "cancel" | null = null;
  #isReleased = false;
  #sendFailure: Error | null = null;

  constructor(options: LogRowsOptions) {
    this.#options = options;
    this.#position = options.from.position;
    this.#history = [...options.from.history];
    this.#groupPosition = options.from.position;
    this.#followed = options.streams.map((stream) => ({
      ...stream,
      namespaceBytes: Buffer.from(stream.namespace),
      nameBytes: Buffer.from(stream.name),
      isVisible: readVisible(stream.visible),
      hasRows: false,
      sending: null,
    }));
    this.#byNumber = new Map(this.#followed.map((one) => [one.number, one]));
    // nobody may be waiting for it
    this.#ended.promise.catch(() => {});
  }

  /** Of a checkpoint that was asked for. */
  giveIndex(stream: number, index: number): void {
    this.#indexes.set(stream, index);
    this.#byNumber.get(stream)?.rows.giveIndex(index);
  }

  leave(stream: number): void {
    const at = this.#followed.findIndex(({ number }) => number === stream);
    if (at >= 0) this.#followed.splice(at, 1);
    this.#latest = null;
  }

  /** At the next commit: `stop` ends the log of the run, `cancel` leaves it to another attempt. */
  wish(what: "stop" | "cancel"): void {
    this.#wish ??= what;
    if (what !== "cancel") return;
    this.#isReleased = true;
    this.#wakeFinish();
  }

  end(position: string): void {
    this.#ended.resolve(position);
  }

  /** The ledger has the group: the source may forget what is before it. */
  commit(group: number): void {
    const offset = [...this.#offsets]
      .filter(([one]) => one <= group)
      .at(-1)?.[1];
    for (const one of this.#offsets.keys())
      if (one <= group) this.#offsets.delete(one);
    this.#lastCommitted = Math.max(this.#lastCommitted, group);
    if (offset !== undefined) this.#options.engine.ack(offset as EngineOffset);
    this.#wakeFinish();
  }

  #wakeFinish(): void {
    this.#committed.resolve();
    this.#committed = Promise.withResolvers<void>();
  }

  /**
   * Until the log has ended, or is left to another attempt. The engine is gone when it resolves.
   * @throws ExtractError
   */
  async run(): Promise<void> {
    const { engine } = this.#options;
    const messages = engine.messages();
    try {
      const how = await this.#follow(messages);
      if (how === "ended") await this.#finish();
      // acknowledgements are followed as long as the engine lives
      await Promise.all([engine.drain(), drop(messages)]);
    } catch (error) {
      await engine.kill();
      throw error;
    }
  }

  async #follow(
    messages: AsyncGenerator<readonly EngineMessage[], void>,
  ): Promise<"ended" | "left"> {
    for (;;) {
      const next = await messages.next();
      if (next.done)
        throw new ExtractError(
          "PROCESS_DIED",
          "the change data engine ended before the log did",
          { role: "engine" },
        );
      for (const message of next.value) {
        const how = await this.#take(message);
        if (how !== null) return how;
      }
      if (this.#sendFailure) throw this.#sendFailure;
      if (this.#transaction === null && this.#isTime())
        await this.#closeGroup();
    }
  }

  async #take(message: EngineMessage): Promise<"ended" | "left" | null> {
    switch (message.type) {
      case "begin": {
        const { sourceEpoch } = this.#options;
        const behind = positionBehind(sourceEpoch, message.position);
        if (this.#isBehindEnd(behind)) return this.#endAt();
        const { position, transaction } = message;
        const place = makePlace(sourceEpoch, position, transaction);
        this.#transaction = { behind, place };
        return null;
      }
      case "event":
        return this.#takeEvent(message);
      case "commit":
        assert(this.#transaction, "a commit without its begin");
        if (this.#transaction.behind > this.#position)
          this.#position = this.#transaction.behind;
        this.#transaction = null;
        this.#keepOffset(message.offset);
        return this.#atCommit();
      case "heartbeat": {
        if (this.#transaction !== null || message.offset === null) return null;
        this.#keepOffset(message.offset);
        // all that was committed before it has been told
        const place = positionOf(message.offset);
        const reached = positionOfSnapshot(this.#options.sourceEpoch, place);
        if (reached > this.#position) this.#position = reached;
        return this.#atCommit();
      }
      case "history":
        this.#history.push(message.record);
        this.#hasHistoryNews = true;
        return null;
      default:
        return null;
    }
  }

  #keepOffset(offset: string | null): void {
    if (offset === null) return;
    this.#offset = offset;
    if (this.#hasHistoryNews) this.#historyAt = [...this.#history];
    this.#hasHistoryNews = false;
  }

  #isBehindEnd(behind: string): boolean {
    const { until } = this.#options;
    return until !== null && behind > until;
  }

  #endAt(): "ended" {
    const { until, from } = this.#options;
    // where nothing was committed since, the log may have been told to stand further on
    if (until !== null)
      this.#position = until > from.position ? until : from.position;
    return "ended";
  }

  /** Nothing of a transaction is under way. */
  async #atCommit(): Promise<"ended" | "left" | null> {
    const { until } = this.#options;
    if (until !== null && this.#position >= until) return this.#endAt();
    if (this.#wish === "stop") return "ended";
    if (this.#wish === "cancel") {
      await this.#closeGroup();
      return "left";
    }
    if (this.#isTime()) await this.#closeGroup();
    return null;
  }

  #isTime(): boolean {
    return performance.now() - this.#groupAt >= this.#options.checkpointEveryMs;
  }

  async #takeEvent(message: EngineEvent): Promise<"ended" | null> {
    const transaction = this.#transaction;
    assert(transaction, "an event outside of a transaction");
    const event = this.#event.read(message);
    if (event.kind !== "change") return null;
    const followed = this.#findOf(event);
    // of a stream that is committed or has failed: the ledger holds the log where that matters
    if (!followed || transaction.behind <= followed.after) return null;
    if (followed.isVisible(transaction.place.transactionId)) return null;
    const isOlder = transaction.behind <= this.#options.discoveredAt;
    for (;;) {
      const result = followed.decoder.append(event, transaction.place, isOlder);
      switch (result) {
        case "appended":
          followed.hasRows = true;
          return null;
        case "full":
          this.#send(followed);
          break;
        case "busy":
          await followed.sending;
          if (this.#sendFailure) throw this.#sendFailure;
          break;
        case "newShape":
          return this.#endBefore(followed);
      }
    }
  }

  #findOf(event: ChangeEvent): Followed | undefined {
    const latest = this.#latest;
    if (latest && event.isOf(latest.namespaceBytes, latest.nameBytes))
      return latest;
    const found = this.#followed.find((one) =>
      event.isOf(one.namespaceBytes, one.nameBytes),
    );
    this.#latest = found ?? null;
    return found;
  }

  /**
   * The streams of this run cannot hold what comes: the run ends behind its last group. Rows that have been sent since
   * come again; where there are any, another attempt makes the last checkpoints.
   * @throws ExtractError LOG_TURNED
   */
  async #endBefore({ namespace, name }: Followed): Promise<"ended"> {
    this.#position = this.#groupPosition;
    if (!this.#followed.some(({ hasRows }) => hasRows)) return "ended";
    this.#options.events.onEnding(this.#position);
    await this.#ended.promise;
    throw new ExtractError(
      "LOG_TURNED",
      `${namespace}.${name} has got a column that this run does not know: the run ends before it`,
      { table: `${namespace}.${name}` },
    );
  }

  #send(followed: Followed): void {
    const taken = followed.decoder.take();
    if (!taken) return;
    const sent = followed.rows.batch(taken.batch).then(
      () => taken.giveBack(),
      (error: unknown) => {
        this.#sendFailure ??=
          error instanceof Error ? error : new Error(String(error));
      },
    );
    followed.sending = sent;
  }

  /** Without rows the place in the log moves all the same: what nobody wants need not be kept at the source. */
  async #closeGroup(): Promise<void> {
    this.#groupAt = performance.now();
    const members = this.#followed.filter((one) => one.hasRows);
    if (members.length === 0 && this.#offset === null) return;
    await this.#close(members, false);
  }

  async #close(members: readonly Followed[], last: boolean): Promise<void> {
    const position = this.#position;
    await Promise.all(
      members.map((followed) => {
        this.#send(followed);
        followed.hasRows = false;
        return followed.rows.checkpoint(
          last ? null : { kind: "log", after: position },
          last,
        );
      }),
    );
    this.#group += 1;
    if (this.#offset !== null) this.#offsets.set(this.#group, this.#offset);
    this.#options.events.onGroup({
      group: this.#group,
      position,
      offset: this.#offset,
      history: this.#historyAt,
      members: members.map(({ number }) => ({
        stream: number,
        index: this.#indexes.get(number) ?? 0,
      })),
    });
    this.#offset = null;
    this.#historyAt = null;
    this.#groupPosition = position;
  }

  /** Where the run's log ends is in the ledger before any stream's last checkpoint is made. */
  async #finish(): Promise<void> {
    this.#options.events.onEnding(this.#position);
    const position = await this.#ended.promise;
    assert(position === this.#position, "the log ends where the ledger says");
    await this.#close([...this.#followed], true);
    // where a stream has failed, the ledger does not take it up: it is cancelled once the others are done
    while (this.#lastCommitted < this.#group && !this.#isReleased)
      await this.#committed.promise;
  }
}

async function drop(
  messages: AsyncGenerator<readonly EngineMessage[], void>,
): Promise<void> {
  for (;;) {
    const next = await messages.next();
    if (next.done) return;
  }
}
