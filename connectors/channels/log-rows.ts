/**
 * The source's log from the engine to one channel: the rows of all streams in their order, and at commits the
 * checkpoints that cover them. A checkpoint of all streams is a group: one of each stream that has had rows since the
 * group before, with the place in the log that the source may forget up to once all of them are recorded.
 */
import { strict as assert } from "node:assert";
import type { LogEntry, LogPlace, SourceFact } from "../../proto/control.ts";
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
import type { EventRun } from "../sources/debezium/events/batch-event.ts";
import type { RowEvent } from "../sources/debezium/events/decoder.ts";
import type { ChangeEvent } from "../sources/debezium/events/event.ts";
import { makePlace, type Place } from "../sources/debezium/events/positions.ts";
import {
  readEffect,
  readTables,
  refuseContents,
  type NamedTable,
} from "./log-ddl.ts";
import { LogOffsets } from "./log-offsets.ts";
import { LogStreams, type Followed, type LogStream } from "./log-streams.ts";
import type { Quarantine } from "./quarantine-file.ts";

/** What of the engine is used here. */
export interface LogEngine {
  messages(): AsyncGenerator<readonly EngineMessage[], void>;
  ack(offset: EngineOffset): void;
  drain(): Promise<void>;
  kill(): Promise<void>;
  /** A stream has failed: what is told from here on cannot be recorded. */
  abandon?(): void;
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

/** A transaction that is being read. */
interface Transaction {
  readonly behind: string;
  readonly committedMs: number;
  readonly place: Place;
}

export class LogRows {
  readonly #options: LogRowsOptions;
  readonly #streams: LogStreams;
  readonly #offsets: LogOffsets;
  readonly #ended = Promise.withResolvers<string>();
  #transaction: Transaction | null = null;
  #position: string;
  #groupPosition: string;
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

  constructor(options: LogRowsOptions) {
    this.#options = options;
    this.#position = options.from.position;
    this.#offsets = new LogOffsets(options.from.history);
    this.#streams = new LogStreams(options.streams, options.quarantine);
    this.#groupPosition = options.from.position;
    this.#isHeld = options.isHeld;
    this.#everyMs = options.checkpointEveryMs;
    // nobody may be waiting for it
    this.#ended.promise.catch(() => {});
  }

  /** Of a checkpoint that was asked for. */
  giveIndex(stream: number, index: number): void {
    this.#streams.giveIndex(stream, index);
  }

  leave(stream: number): void {
    this.#streams.leave(stream);
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
    const offset = this.#offsets.settle(group);
    this.#lastCommitted = Math.max(this.#lastCommitted, group);
    if (offset !== null) this.#options.engine?.ack(offset as EngineOffset);
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
      this.#streams.check();
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
      case "events":
        return this.#takeRun(message.run);
      case "commit":
        assert(this.#transaction, "a commit without its begin");
        if (this.#transaction.behind > this.#position)
          this.#position = this.#transaction.behind;
        this.#figures.transactions += 1;
        this.#noteAsOf(this.#transaction.committedMs);
        this.#transaction = null;
        this.#offsets.keep(message.offset);
        return this.#atCommit(message.closes);
      case "intent":
        this.#intend(message.offset);
        return null;
      case "heartbeat": {
        this.#figures.heartbeats += 1;
        if (this.#transaction !== null) return null;
        // what was wished meanwhile is heard, whether or not anything is new
        if (message.offset === null) return this.#atCommit(message.closes);
        this.#offsets.keep(message.offset);
        // all that was committed before it has been told
        const place = positionOf(message.offset);
        const reached = positionOfSnapshot(this.#options.sourceEpoch, place);
        if (reached > this.#position) this.#position = reached;
        this.#noteAsOf(Date.now());
        return this.#atCommit(message.closes);
      }
      case "history":
        this.#offsets.addHistory(message.record);
        return null;
      default:
        return null;
    }
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
    this.#offsets.await(this.#group, offset);
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
    const transaction = this.#openTransaction();
    const event = this.#streams.read(message, transaction.place);
    if (event?.kind === "schemaChange") this.#takeDdl(event, transaction);
    if (event?.kind !== "change") return null;
    const followed = this.#findWanted(event, transaction);
    if (!followed) return null;
    const isOlder =
      message.isOlder ?? transaction.behind <= this.#options.discoveredAt;
    return this.#appendWaiting(followed, event, transaction, isOlder);
  }

  /** Waits only where there is no room: most of it is done without. */
  async #takeRun(run: EventRun): Promise<"ended" | null> {
    const transaction = this.#openTransaction();
    const { place, behind } = transaction;
    const isOlder = behind <= this.#options.discoveredAt;
    for (const event of this.#streams.readRun(run, place)) {
      const followed = this.#findWanted(event, transaction);
      if (!followed) continue;
      const done = this.#streams.append(followed, event, place, isOlder);
      if (done === "appended") this.#figures.events += 1;
      else if (done !== "setAside") {
        const how = await this.#appendWaiting(
          followed,
          event,
          transaction,
          isOlder,
        );
        if (how !== null) return how;
      }
    }
    return null;
  }

  #openTransaction(): Transaction {
    const transaction = this.#transaction;
    assert(transaction, "an event outside of a transaction");
    return transaction;
  }

  /** The stream that the event is of, unless that has it or is no more followed. */
  #findWanted(
    event: RowEvent,
    { behind, place }: Transaction,
  ): Followed | undefined {
    const followed = this.#streams.findOf(event);
    // of a stream that is committed or has failed: the ledger holds the log where that matters
    if (!followed || behind <= followed.after) return undefined;
    return followed.isVisible(place.transactionId) ? undefined : followed;
  }

  async #appendWaiting(
    followed: Followed,
    event: RowEvent,
    { place }: Transaction,
    isOlder: boolean,
  ): Promise<"ended" | null> {
    const append = () => this.#streams.append(followed, event, place, isOlder);
    let done = append();
    for (; done === "full" || done === "busy"; done = append())
      await this.#streams.makeRoom(followed, done);
    if (done === "newShape") return this.#endBefore(followed);
    if (done === "appended") this.#figures.events += 1;
    return null;
  }

  /**
   * A statement that comes behind the discovery ends the run behind it: the next one has what the table is then.
   * @throws ExtractError SOURCE_SCHEMA_CHANGED
   */
  #takeDdl({ ddl, value }: ChangeEvent, { behind }: Transaction): void {
    if (ddl === null || value === null) return;
    for (const table of readTables(value)) {
      const followed = this.#streams.findTable(table);
      if (!followed || behind <= followed.after) continue;
      if (readEffect(ddl) === "contents")
        throw refuseContents(followed, ddl, behind);
      if (behind > this.#options.discoveredAt)
        this.#cutBy = `${table.namespace}.${table.name}`;
    }
  }

  /**
   * The streams of this run cannot hold what comes: the run ends behind its last group. Rows that have been sent since
   * come again; where there are any, another attempt makes the last checkpoints.
   * @throws ExtractError LOG_TURNED
   */
  async #endBefore({ namespace, name }: NamedTable): Promise<"ended"> {
    this.#position = this.#groupPosition;
    this.#cutBy = `${namespace}.${name}`;
    if (this.#streams.withRows.length === 0) return "ended";
    this.#options.events.onEnding(this.#position, this.#cutBy);
    await this.#ended.promise;
    throw new ExtractError(
      "LOG_TURNED",
      `${namespace}.${name} has got a column that this run does not know: the run ends before it`,
      { table: `${namespace}.${name}` },
    );
  }

  /** Without rows the place in the log moves all the same: what nobody wants need not be kept at the source. */
  async #closeGroup(): Promise<void> {
    this.#groupAt = performance.now();
    const members = this.#streams.withRows;
    if (members.length === 0 && !this.#offsets.isNew) return;
    await this.#close(members, false);
  }

  async #close(members: readonly Followed[], last: boolean): Promise<void> {
    const position = this.#position;
    await this.#streams.close(members, last ? null : position);
    this.#group += 1;
    this.#options.events.onGroup({
      group: this.#group,
      position,
      ...this.#offsets.take(this.#group),
      members: members.map(({ number }) => ({
        stream: number,
        index: this.#streams.indexOf(number),
      })),
      figures: { asOfMs: this.#asOfMs, ...this.#figures },
      ...this.#streams.countSetAside(),
    });
    this.#groupPosition = position;
  }

  /** Where the run's log ends is in the ledger before any stream's last checkpoint is made. */
  async #finish(): Promise<void> {
    this.#options.events.onEnding(this.#position, this.#cutBy);
    const position = await this.#ended.promise;
    assert(position === this.#position, "the log ends where the ledger says");
    const { entry } = this.#options;
    if (entry) this.#offsets.replace(entry.offset, entry.history);
    await this.#close(this.#streams.all, true);
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
