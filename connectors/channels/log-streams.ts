/** The streams of a log: events as rows of theirs, batches on their way, and what is set aside of them. */
import { ExtractError, type ErrorCode } from "../../proto/error.ts";
import { NUMBER_DIGITS } from "../../proto/log-position.ts";
import type { EngineEvent } from "../sources/debezium/engine/protocol.ts";
import { BatchEvent } from "../sources/debezium/events/batch-event.ts";
import type { EventRun } from "../sources/debezium/events/batch-event.ts";
import type { Shape } from "../sources/debezium/events/batch-shapes.ts";
import type { RowEvent } from "../sources/debezium/events/decoder.ts";
import {
  ChangeEvent,
  type EventParts,
} from "../sources/debezium/events/event.ts";
import type { Place } from "../sources/debezium/events/positions.ts";
import { formatQuarantine } from "../sources/debezium/events/quarantine.ts";
import type { NamedTable } from "./log-ddl.ts";
import type { LogAppend, LogDecoder } from "./log-decoder.ts";
import type { Quarantine } from "./quarantine-file.ts";
import { readVisible } from "./snapshot-visible.ts";
import type { ReadRows } from "./source-rows.ts";

export interface LogStream extends NamedTable {
  readonly number: number;
  /** Changes up to and with this position are durable. */
  readonly after: string;
  /** So is what these transactions have done; null: none behind `after`. */
  readonly visible: string | null;
  readonly rows: ReadRows;
  readonly decoder: LogDecoder;
}

export interface Followed extends LogStream {
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

/** `setAside`: it could not be decoded, and somebody has taken it. */
type Appended = LogAppend | "setAside";

export class LogStreams {
  readonly #followed: Followed[];
  readonly #byNumber: ReadonlyMap<number, Followed>;
  readonly #quarantine: Quarantine | null;
  readonly #indexes = new Map<number, number>();
  readonly #event = new ChangeEvent();
  readonly #batchEvent = new BatchEvent();
  /** Of the event before: the next one is mostly of the same table. */
  #latest: Followed | null = null;
  #latestShape: Shape | null = null;
  #sendFailure: Error | null = null;

  /** @param quarantine takes events that cannot be decoded; null: one of them is an error */
  constructor(streams: readonly LogStream[], quarantine: Quarantine | null) {
    this.#quarantine = quarantine;
    this.#followed = streams.map((stream) => ({
      ...stream,
      namespaceBytes: Buffer.from(stream.namespace),
      nameBytes: Buffer.from(stream.name),
      isVisible: readVisible(stream.visible),
      hasRows: false,
      sending: null,
    }));
    this.#byNumber = new Map(this.#followed.map((one) => [one.number, one]));
  }

  get all(): readonly Followed[] {
    return [...this.#followed];
  }

  get withRows(): readonly Followed[] {
    return this.#followed.filter(({ hasRows }) => hasRows);
  }

  /** Of a checkpoint that was asked for. */
  giveIndex(stream: number, index: number): void {
    this.#indexes.set(stream, index);
    this.#byNumber.get(stream)?.rows.giveIndex(index);
  }

  indexOf(stream: number): number {
    return this.#indexes.get(stream) ?? 0;
  }

  leave(stream: number): void {
    const at = this.#followed.findIndex(({ number }) => number === stream);
    if (at >= 0) this.#followed.splice(at, 1);
    this.#latest = null;
    this.#latestShape = null;
  }

  findTable({ namespace, name }: NamedTable): Followed | undefined {
    return this.#followed.find(
      (one) => one.namespace === namespace && one.name === name,
    );
  }

  findOf(event: RowEvent): Followed | undefined {
    return event instanceof BatchEvent
      ? this.#findOfShape(event.shape)
      : this.#findOfLine(event);
  }

  #findOfShape(shape: Shape): Followed | undefined {
    if (shape !== this.#latestShape) {
      const { namespace, table } = shape;
      this.#latest = this.findTable({ namespace, name: table }) ?? null;
      this.#latestShape = shape;
    }
    return this.#latest ?? undefined;
  }

  #findOfLine(event: ChangeEvent): Followed | undefined {
    const latest = this.#latest;
    if (latest && event.isOf(latest.namespaceBytes, latest.nameBytes))
      return latest;
    const found = this.#followed.find((one) =>
      event.isOf(one.namespaceBytes, one.nameBytes),
    );
    this.#latest = found ?? null;
    this.#latestShape = null;
    return found;
  }

  /** Borrowed until the next one. Null: it was set aside. */
  read(message: EngineEvent, place: Place): ChangeEvent | null {
    try {
      return this.#event.read(message);
    } catch (error) {
      this.#setAside(message, message.topic, place, error);
      return null;
    }
  }

  /**
   * The events of a run, one after the other; each is borrowed until the next one, and those that are set aside are
   * passed over.
   */
  *readRun(run: EventRun, place: Place): Generator<BatchEvent, void> {
    const event = this.#batchEvent.begin(run);
    for (;;) {
      try {
        if (!event.next()) return;
      } catch (error) {
        const parts = event.toParts();
        this.#setAside(parts, parts.topic, place, error);
        continue;
      }
      yield event;
    }
  }

  /**
   * Nothing is awaited here, for the sake of the many events that have room.
   * @param isOlder it was made before the streams were discovered
   */
  append(
    followed: Followed,
    event: RowEvent,
    place: Place,
    isOlder: boolean,
  ): Appended {
    const { decoder, namespace, name } = followed;
    try {
      const result = decoder.append(event, place, isOlder);
      if (result === "appended") followed.hasRows = true;
      return result;
    } catch (error) {
      const stream = `${namespace}.${name}`;
      this.#setAside(event.toParts(), stream, place, error);
      return "setAside";
    }
  }

  /** Behind `full` and `busy`: the event is to be tried again. */
  async makeRoom(followed: Followed, why: "full" | "busy"): Promise<void> {
    if (why === "full") this.send(followed);
    else await followed.sending;
    this.check();
  }

  /** @throws the error, where it is not the event's own or nobody takes such events */
  #setAside(
    event: EventParts,
    stream: string,
    { prefix }: Place,
    error: unknown,
  ): void {
    const quarantine = this.#quarantine;
    const isItsOwn =
      error instanceof ExtractError && undecodable.has(error.code);
    if (quarantine === null || !isItsOwn) throw error;
    const number = String(event.order ?? 0).padStart(NUMBER_DIGITS, "0");
    const position = `${Buffer.from(prefix).toString("latin1")}${number}`;
    quarantine.take(formatQuarantine(event, { stream, position, error }));
  }

  /** What there is of it leaves. */
  send(followed: Followed): void {
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

  /** @throws what a batch on its way has failed with */
  check(): void {
    if (this.#sendFailure) throw this.#sendFailure;
  }

  /** Checkpoints of these streams, behind all their rows. @param after null: their last ones */
  async close(
    members: readonly Followed[],
    after: string | null,
  ): Promise<void> {
    // before anything says that it has been done with
    this.#quarantine?.settle();
    // all rows of the group in front of all its checkpoints: what comes behind the first of these is of the next one
    for (const followed of members) this.send(followed);
    await Promise.all(
      members.map((followed) => {
        followed.hasRows = false;
        return followed.rows.checkpoint(
          after === null ? null : { kind: "log", after },
          after === null,
        );
      }),
    );
  }

  countSetAside(): { readonly quarantined?: number } {
    const count = this.#quarantine?.count ?? 0;
    return count === 0 ? {} : { quarantined: count };
  }
}
