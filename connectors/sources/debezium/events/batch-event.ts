/**
 * The events of a frame, one after the other, as places in its bytes: what happened, to which table's rows, and where
 * their values stand. One object for all events, so that none costs one.
 */
import { strict as assert } from "node:assert";
import { formatRow } from "./batch-json.ts";
import type { Shape, Shapes } from "./batch-shapes.ts";
import { opsByLetter, type ChangeOp } from "./envelope.ts";
import { ORDER_MAX, type EventParts } from "./event.ts";
import { invalidEvent } from "./faults.ts";
import { NONE } from "../../../json/members.ts";
import { tagOf, wire, WireFault, WireReader } from "./wire.ts";

/** Events that follow each other in a frame, whose items have been found whole. The bytes are borrowed with it. */
export interface EventRun {
  readonly bytes: Uint8Array;
  /** Of its items. */
  readonly start: number;
  readonly end: number;
  /** Of its first event. */
  readonly firstNumber: number;
  /** As they were told before it. */
  readonly shapes: Shapes;
}

const tags = {
  shape: tagOf(1, wire.varint),
  op: tagOf(2, wire.varint),
  order: tagOf(3, wire.varint),
  committedUs: tagOf(4, wire.fixed64),
  key: tagOf(5, wire.length),
  oldKey: tagOf(6, wire.length),
  before: tagOf(7, wire.length),
  after: tagOf(8, wire.length),
};

const noRun: EventRun = {
  bytes: new Uint8Array(0),
  start: 0,
  end: 0,
  firstNumber: 1,
  shapes: [],
};

/** A row's bytes in the frame; `start` is NONE where there is none. */
export class RowPlace {
  start = NONE;
  end = NONE;

  get isThere(): boolean {
    return this.start !== NONE;
  }
}

export class BatchEvent {
  readonly kind = "change";
  number = 0;
  /** In its transaction, over all tables; from 1. */
  order = 0;
  op: ChangeOp | null = null;
  bytes: Uint8Array = noRun.bytes;
  /** When the source committed, in µs from 1970. */
  committedUs = 0;
  readonly key = new RowPlace();
  readonly oldKey = new RowPlace();
  readonly before = new RowPlace();
  readonly after = new RowPlace();
  readonly #reader = new WireReader();
  readonly #items = new WireReader();
  #shapes: Shapes = noRun.shapes;
  #shape: Shape | null = null;
  #start = 0;
  #end = 0;

  /** The next event will be the run's first. */
  begin({ bytes, start, end, firstNumber, shapes }: EventRun): this {
    this.bytes = bytes;
    this.#items.read(bytes, start, end);
    this.#shapes = shapes;
    this.number = firstNumber - 1;
    return this;
  }

  /**
   * Makes this the run's next event; false: there is none.
   * @throws ExtractError SOURCE_EVENT_INVALID; the next one can be read even then
   */
  next(): boolean {
    const items = this.#items;
    if (!items.isMore) return false;
    // an item, and the event in it, which ends where the item does
    items.readVarint();
    const behind = items.readLength();
    items.readVarint();
    items.readLength();
    this.#start = items.at;
    this.#end = behind;
    items.at = behind;
    this.number++;
    this.#readHead();
    return true;
  }

  get shape(): Shape {
    assert(this.#shape !== null);
    return this.#shape;
  }

  /** All of its bytes. */
  get byteCount(): number {
    return this.#end - this.#start;
  }

  get hasBefore(): boolean {
    return this.before.isThere;
  }

  get orderInTransaction(): number {
    return this.order;
  }

  /** Its transaction has told it. */
  get transactionId(): null {
    return null;
  }

  #readHead(): void {
    const reader = this.#reader.read(this.bytes, this.#start, this.#end);
    this.#shape = null;
    this.op = null;
    this.order = 0;
    this.committedUs = NaN;
    this.key.start = NONE;
    this.oldKey.start = NONE;
    this.before.start = NONE;
    this.after.start = NONE;
    try {
      while (reader.at < reader.end) this.#readField(reader);
    } catch (error) {
      if (!(error instanceof WireFault)) throw error;
      throw this.#invalid(error.message, error);
    }
    if (this.#shape === null) throw this.#invalid("it is of no known shape");
    if (this.op === null) throw this.#invalid("it has no operation");
    if (!(this.order >= 1 && this.order <= ORDER_MAX))
      throw this.#invalid("it has no number inside of its transaction");
    if (!Number.isSafeInteger(this.committedUs))
      throw this.#invalid("it has no time");
    if (this.op === "t" || (this.op === "d") !== this.after.isThere) return;
    throw this.#invalid(
      this.op === "d"
        ? "a deletion with a row behind it"
        : "a change without its row",
    );
  }

  #readField(reader: WireReader): void {
    const tag = reader.readVarint();
    switch (tag) {
      case tags.shape:
        this.#shape = this.#shapes[reader.readVarint()] ?? null;
        return;
      case tags.op: {
        const letter = reader.readVarint();
        this.op = opsByLetter[letter] ?? null;
        if (this.op === null)
          throw new WireFault(`the operation ${String.fromCharCode(letter)}`);
        return;
      }
      case tags.order:
        this.order = reader.readVarint();
        return;
      case tags.committedUs:
        this.committedUs = reader.readUnsigned64();
        return;
      case tags.key:
        return this.#readPlace(reader, this.key);
      case tags.oldKey:
        return this.#readPlace(reader, this.oldKey);
      case tags.before:
        return this.#readPlace(reader, this.before);
      case tags.after:
        return this.#readPlace(reader, this.after);
      default:
        throw new WireFault(`it has a field with the tag ${tag}`);
    }
  }

  #readPlace(reader: WireReader, place: RowPlace): void {
    if (place.isThere) throw new WireFault("one of its rows is there twice");
    place.end = reader.readLength();
    place.start = reader.at;
    reader.at = place.end;
  }

  /** Its parts as the engine's lines have them: what is kept of it where it cannot be decoded. */
  toParts(): EventParts {
    const { number, order } = this;
    const shape = this.#shape;
    const topic = shape?.topic ?? "";
    const parts = { number, order, topic, headers: null };
    if (shape === null) return { ...parts, key: null, value: this.#rawBytes() };
    const { bytes } = this;
    const format = (place: RowPlace, fields: Shape["row"]): string =>
      place.isThere ? formatRow(bytes, place.start, place.end, fields) : "null";
    try {
      const { namespace, table } = shape;
      const source = JSON.stringify({
        schema: namespace,
        db: namespace,
        table,
        ts_us: this.committedUs,
      });
      const value = `{"before":${format(this.before, shape.row)},"after":${format(this.after, shape.row)},"source":${source},"op":${JSON.stringify(this.op)}}`;
      return {
        ...parts,
        key: this.key.isThere ? Buffer.from(format(this.key, shape.key)) : null,
        value: Buffer.from(value),
        headers: this.oldKey.isThere
          ? Buffer.from(
              `{"__debezium.oldkey":${format(this.oldKey, shape.key)}}`,
            )
          : null,
      };
    } catch (error) {
      if (!(error instanceof WireFault)) throw error;
      return { ...parts, key: null, value: this.#rawBytes() };
    }
  }

  #rawBytes(): Uint8Array {
    return this.bytes.subarray(this.#start, this.#end);
  }

  #invalid(reason: string, cause?: unknown): Error {
    const { number } = this;
    const topic = (this.#shape?.topic ?? "").slice(0, 200);
    return invalidEvent(reason, { number, topic }, cause);
  }
}
