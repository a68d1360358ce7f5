/**
 * The source's log from the engine to one channel: the rows of all streams in their order, and at commits the
 * checkpoints that cover them. A checkpoint of all streams is a group: one of each stream that has had rows since the
 * group before, with the place in the log that the source may forget up to once all of them are recorded.
 */
import { strict as assert } from "node:assert";
import type { LogEntry, LogPlace, SourceFact } from "../../proto/control.ts";
import { ExtractError, type ErrorCode } from "../../proto/error.ts";
import {
  NUMBER_DIGITS,
  positionBehind,
  positionOfSnapshot,
} from "../../proto/log-position.ts";
import { positionOf } from "../sources/debezium/engine/offsets.ts";
import type {
  EngineEvent,
  EngineMessage,
  EngineOffset,
} from "../sources/debezium/engine/protocol.ts";
import {
  ChangeEvent,
  type EventParts,
} from "../sources/debezium/events/event.ts";
import { makePlace, type Place } from "../sources/debezium/events/positions.ts";
import { formatQuarantine } from "../sources/debezium/events/quarantine.ts";
import { readEffect, readTables, refuseContents } from "./log-ddl.ts";
import type { LogAppend, LogDecoder } from "./log-decoder.ts";
import type { Quarantine } from "./quarantine-file.ts";
import { readVisible } from "./snapshot-visible.ts";
import type { ReadRows } from "./source-rows.ts";

/** What of the engine is used here. */
export interface LogEngine {
  messages(): AsyncGenerator<readonly EngineMessage[], void>;
  ack(offset: EngineOffset): void;
  drain(): Promise<void>;
  kill(): Promise<void>;
  /** A stream has failed: what is told from here on cannot be recorded. */
  abandon?(): void;
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

export type LogGroup = Omit<
  Extract<SourceFact, { type: "log.checkpoint" }>,
  "type"
>;

export interface LogRowsOptions {
  /** Null: there is nothing to be read, and the log ends where it is to. */
  readonly engine: LogEngine | null;
  readonly streams: readonly LogStream[];
  readonly sourceEpoch: number;
  readonly from: LogPlace;
  /** The log ends once it has got here; null: when it is told to. */
  readonly until: string | null;
  /** Not before `release`: a snapshot is still read, and what is not followed meanwhile is kept by the source. */
  readonly isHeld: boolean;
  /** The log ends where tables come to it, and goes on from that place; null: it goes on from where it has got to. */
  readonly entry: LogEntry | null;
  /** Changes up to here were made before the streams were discovered. */
  readonly discoveredAt: string;
  readonly checkpointEveryMs: number;
  /** Takes events that cannot be decoded; null: one of them ends the log. */
  readonly quarantine: Quarantine | null;
  readonly events: {
    onGroup(group: LogGroup): void;
    /** Answered by `end`. @param cutBy table whose new shape ends it before its time */
    onEnding(position: string, cutBy: string | null): void;
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

/** What is wrong with one event, and says nothing of the next. */
const undecodable: ReadonlySet<ErrorCode> = new Set([
  "SOURCE_EVENT_INVALID",
  "SOURCE_VALUE_UNREPRESENTABLE",
]);

/** A transaction that is being read. */
interface Transaction {
  readonly behind: string;
  readonly committedMs: number;
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
  #cutBy: string | null = null;
  #isHeld: boolean;
  #everyMs: number;
  #figures = { events: 0, transactions: 0, heartbeats: 0 };
  #asOfMs = 0;
  #isReleased = false;
  #sendFailure: Error | null = null;

  constructor(options: LogRowsOptions) {
    this.#options = options;
    this.#position = options.from.position;
    this.#history = [...options.from.history];
    this.#groupPosition = options.from.position;
    this.#isHeld = options.isHeld;
    this.#everyMs = options.checkpointEveryMs;
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
    this.#options.engine?.abandon?.();
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

  /** It may end where it is to. */
  release(): void {
    this.#isHeld = false;
  }

  /** The first checkpoint at the next commit. */
  pace(checkpointEveryMs: number): void {
    this.#everyMs = checkpointEveryMs;
    this.#groupAt = -Infinity;
  }

  /** The ledger has the group: the source may forget what is before it. */
  commit(group: number): void {
    const offset = [...this.#offsets]
      .filter(([one]) => one <= group)
      .at(-1)?.[1];
    for (const one of this.#offsets.keys())
      if (one <= group) this.#offsets.delete(one);
    this.#lastCommitted = Math.max(this.#lastCommitted, group);
    if (offset !== undefined) this.#options.engine?.ack(offset as EngineOffset);
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
    if (engine === null) {
      if (this.#wish === "cancel") return;
      this.#endAt();
      return this.#finish();
    }
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
        const { position, transaction, committedAtMs } = message;
        const place = makePlace(sourceEpoch, position, transaction);
        this.#transaction = { behind, place, committedMs: committedAtMs };
        return null;
      }
      case "event":
        return this.#takeEvent(message);
      case "commit":
        assert(this.#transaction, "a commit without its begin");
        if (this.#transaction.behind > this.#position)
          this.#position = this.#transaction.behind;
        this.#figures.transactions += 1;
        this.#noteAsOf(this.#transaction.committedMs);
        this.#transaction = null;
        this.#keepOffset(message.offset);
        return this.#atCommit(message.closes);
      case "intent":
        this.#intend(message.offset);
        return null;
      case "heartbeat": {
        this.#figures.heartbeats += 1;
        if (this.#transaction !== null) return null;
        // what was wished meanwhile is heard, whether or not anything is new
        if (message.offset === null) return this.#atCommit(message.closes);
        this.#keepOffset(message.offset);
        // all that was committed before it has been told
        const place = positionOf(message.offset);
        const reached = positionOfSnapshot(this.#options.sourceEpoch, place);
        if (reached > this.#position) this.#position = reached;
        this.#noteAsOf(Date.now());
        return this.#atCommit(message.closes);
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

  /** The clock of the source may be another than ours, and go back. */
  #noteAsOf(ms: number): void {
    this.#asOfMs = Math.max(this.#asOfMs, Math.min(ms, Date.now()));
  }

  #isBehindEnd(behind: string): boolean {
    const { until } = this.#options;
    return !this.#isHeld && until !== null && behind > until;
  }

  #endAt(): "ended" {
    const { until, from, entry } = this.#options;
    // where nothing was committed since, the log may have been told to stand further on; a held one has gone further
    for (const one of [until, from.position])
      if (one !== null && one > this.#position) this.#position = one;
    // what it was told to stand further on says nothing of the tables that come to it
    if (entry) this.#position = entry.position;
    return "ended";
  }

  /** Nothing of a transaction is under way. @param closes what the engine says that has to be closed here */
  async #atCommit(closes?: "group" | "log"): Promise<"ended" | "left" | null> {
    const { until, entry } = this.#options;
    if (!this.#isHeld && until !== null && this.#position >= until)
      return this.#endAt();
    // tables come to the log at the entry and nowhere else
    if (this.#wish === "stop" && !entry) return "ended";
    if (this.#cutBy !== null) return "ended";
    if (this.#wish === "cancel") {
      await this.#closeGroup();
      return "left";
    }
    if (closes === "log") return "ended";
    if (closes === "group" || this.#isTime()) await this.#closeGroup();
    return null;
  }

  /** A group without rows: another attempt takes in what this one does, and no more. */
  #intend(offset: EngineOffset): void {
    this.#group += 1;
    this.#offsets.set(this.#group, offset);
    this.#options.events.onGroup({
      group: this.#group,
      position: this.#groupPosition,
      offset,
      history: null,
      members: [],
      figures: { asOfMs: this.#asOfMs, ...this.#figures },
    });
  }

  #isTime(): boolean {
    return performance.now() - this.#groupAt >= this.#everyMs;
  }

  async #takeEvent(message: EngineEvent): Promise<"ended" | null> {
    const transaction = this.#transaction;
    assert(transaction, "an event outside of a transaction");
    const event = this.#readEvent(message, transaction);
    if (event === null) return null;
    if (event.kind === "schemaChange") this.#takeDdl(event, transaction);
    if (event.kind !== "change") return null;
    const followed = this.#findOf(event);
    // of a stream that is committed or has failed: the ledger holds the log where that matters
    if (!followed || transaction.behind <= followed.after) return null;
    if (followed.isVisible(transaction.place.transactionId)) return null;
    const isOlder =
      message.isOlder ?? transaction.behind <= this.#options.discoveredAt;
    for (;;) {
      const result = this.#append(followed, event, transaction.place, isOlder);
      switch (result) {
        case "setAside":
          return null;
        case "appended":
          followed.hasRows = true;
          this.#figures.events += 1;
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

  /** Null: it was set aside. */
  #readEvent(message: EngineEvent, { place }: Transaction): ChangeEvent | null {
    try {
      return this.#event.read(message);
    } catch (error) {
      this.#setAside(message, message.topic, place, error);
      return null;
    }
  }

  #append(
    { decoder, namespace, name }: Followed,
    event: ChangeEvent,
    place: Place,
    isOlder: boolean,
  ): LogAppend | "setAside" {
    try {
      return decoder.append(event, place, isOlder);
    } catch (error) {
      this.#setAside(event, `${namespace}.${name}`, place, error);
      return "setAside";
    }
  }

  /** @throws the error, where it is not the event's own or nobody takes such events */
  #setAside(
    event: EventParts,
    stream: string,
    { prefix }: Place,
    error: unknown,
  ): void {
    const { quarantine } = this.#options;
    const isItsOwn =
      error instanceof ExtractError && undecodable.has(error.code);
    if (quarantine === null || !isItsOwn) throw error;
    const number = String(event.order ?? 0).padStart(NUMBER_DIGITS, "0");
    const position = `${Buffer.from(prefix).toString("latin1")}${number}`;
    quarantine.take(formatQuarantine(event, { stream, position, error }));
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
   * A statement that comes behind the discovery ends the run behind it: the next one has what the table is then.
   * @throws ExtractError SOURCE_SCHEMA_CHANGED
   */
  #takeDdl({ ddl, value }: ChangeEvent, { behind }: Transaction): void {
    if (ddl === null || value === null) return;
    for (const { namespace, name } of readTables(value)) {
      const followed = this.#followed.find(
        (one) => one.namespace === namespace && one.name === name,
      );
      if (!followed || behind <= followed.after) continue;
      if (readEffect(ddl) === "contents")
        throw refuseContents(followed, ddl, behind);
      if (behind > this.#options.discoveredAt)
        this.#cutBy = `${namespace}.${name}`;
    }
  }

  /**
   * The streams of this run cannot hold what comes: the run ends behind its last group. Rows that have been sent since
   * come again; where there are any, another attempt makes the last checkpoints.
   * @throws ExtractError LOG_TURNED
   */
  async #endBefore({ namespace, name }: Followed): Promise<"ended"> {
    this.#position = this.#groupPosition;
    this.#cutBy = `${namespace}.${name}`;
    if (!this.#followed.some(({ hasRows }) => hasRows)) return "ended";
    this.#options.events.onEnding(this.#position, this.#cutBy);
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
    // before anything says that it has been done with
    this.#options.quarantine?.settle();
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
      figures: { asOfMs: this.#asOfMs, ...this.#figures },
      ...this.#countSetAside(),
    });
    this.#offset = null;
    this.#historyAt = null;
    this.#groupPosition = position;
  }

  #countSetAside(): { readonly quarantined?: number } {
    const count = this.#options.quarantine?.count ?? 0;
    return count === 0 ? {} : { quarantined: count };
  }

  /** Where the run's log ends is in the ledger before any stream's last checkpoint is made. */
  async #finish(): Promise<void> {
    this.#options.events.onEnding(this.#position, this.#cutBy);
    const position = await this.#ended.promise;
    assert(position === this.#position, "the log ends where the ledger says");
    const { entry } = this.#options;
    if (entry) {
      this.#offset = entry.offset;
      this.#historyAt = entry.history;
    }
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
