/** One event of the log as it was read: what it is, and where its parts stand. Borrowed until the next one is read. */
import { Envelope, names } from "./envelope.ts";
import { invalidEvent } from "./faults.ts";
import { findMember, isAt, NONE, type Located } from "../../../json/members.ts";
import { readSmallInteger } from "../../../json/numbers.ts";
import { JsonFault, Tape, token } from "../../../json/tape.ts";

/** An event as the engine's lines, or a record of Kafka, have it. The bytes are JSON, and are borrowed. */
export interface EventParts {
  /** From 1, in the order of the log. */
  readonly number: number;
  /** From 1, in its transaction, over all tables; null: what the event itself says. */
  readonly order: number | null;
  readonly topic: string;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  /** An object of the headers; null where there are none. */
  readonly headers: Uint8Array | null;
}

/** Two rows of each have to fit into ten digits, below the number that stands for all of a transaction. */
export const ORDER_MAX = 4_999_999_998;

/** Bytes of one event with its key and headers. A row of Postgres has 1 GiB at most, and few have a thousandth. */
const EVENT_BYTES_MAX = 256 * 1024 * 1024;
const noBytes = new Uint8Array(0);

export class ChangeEvent extends Envelope implements EventParts {
  order: number | null = null;
  key: Uint8Array | null = null;
  value: Uint8Array | null = null;
  headers: Uint8Array | null = null;
  readonly #keyTape = new Tape();
  readonly #headersTape = new Tape();

  /**
   * Makes this the next event.
   * @throws ExtractError SOURCE_EVENT_INVALID; the parts are there even then, for the quarantine
   */
  read({ number, order, topic, key, value, headers }: EventParts): this {
    this.number = number;
    this.order = order;
    this.topic = topic;
    this.key = key;
    this.value = value;
    this.headers = headers;
    this.bytes = value ?? noBytes;
    this.kind = "tombstone";
    this.op = null;
    this.before =
      this.after =
      this.sourceAt =
      this.transactionAt =
      this.ddlAt =
        NONE;
    const length =
      this.bytes.length + (key?.length ?? 0) + (headers?.length ?? 0);
    if (length > EVENT_BYTES_MAX) throw this.invalid(`it has ${length} bytes`);
    if (this.bytes.length === 0) return this;
    this.#readTape(this.tape, "value", this.bytes);
    this.classify(0);
    return this;
  }

  get hasBefore(): boolean {
    return this.before !== NONE;
  }

  /** What is kept of it where it cannot be decoded. */
  toParts(): EventParts {
    return this;
  }

  /** The tokens of the row's images stand in these. */
  get words(): Int32Array {
    return this.tape.words;
  }

  /** A column's text of the source block: `table`, `schema`, `file`, …; null where there is none. */
  sourceText(name: string): string | null {
    const at = this.member(this.tape, this.sourceAt, Buffer.from(name));
    const kind = at === NONE ? token.null : this.tape.words[at];
    return kind === token.text ||
      kind === token.escapedText ||
      kind === token.integer
      ? this.text(this.tape, at)
      : null;
  }

  /** The schema of Postgres and SQL Server, the database of MySQL. */
  get namespace(): string | null {
    return this.sourceText("schema") ?? this.sourceText("db");
  }

  get table(): string | null {
    return this.sourceText("table");
  }

  /** The source's name of the transaction, as the event itself has it; null where it has none. */
  get transactionId(): string | null {
    return (
      this.sourceText("txId") ??
      this.sourceText("gtid") ??
      this.sourceText("commit_lsn")
    );
  }

  /** Whether the event is of this table; faster than the texts. */
  isOf(namespace: Uint8Array, table: Uint8Array): boolean {
    if (!this.#isText(names.table, table)) return false;
    const schema = this.member(this.tape, this.sourceAt, names.schema);
    // a database of Postgres may be called as a schema in it
    const hasSchema = schema !== NONE && this.tape.words[schema] !== token.null;
    return this.#isText(hasSchema ? names.schema : names.db, namespace);
  }

  /** The statement of a schema change; else null. */
  get ddl(): string | null {
    return this.ddlAt === NONE ? null : this.text(this.tape, this.ddlAt);
  }

  /** BEGIN or END of a transaction event, and the transaction's name; else null. */
  get transaction(): { readonly status: string; readonly id: string } | null {
    if (this.kind !== "transaction") return null;
    const status = this.member(this.tape, this.rootAt, names.status);
    const id = this.member(this.tape, this.rootAt, Buffer.from("id"));
    return {
      status: this.text(this.tape, status),
      id: id === NONE ? "" : this.text(this.tape, id),
    };
  }

  /** When the source committed, in µs from 1970. @throws ExtractError SOURCE_EVENT_INVALID */
  get committedUs(): number {
    const { words } = this.tape;
    const us = this.member(this.tape, this.sourceAt, names.ts_us);
    if (us !== NONE && words[us] === token.integer) {
      const start = words[us + 1] ?? 0;
      const end = words[us + 2] ?? 0;
      // 16 digits until the year 2286, which a double holds
      if (end - start <= 16) {
        let value = 0;
        for (let p = start; p < end; p++)
          value = value * 10 + (this.bytes[p] ?? 0) - 48;
        if (Number.isSafeInteger(value) && value >= 0) return value;
      }
      throw invalidEvent("its time is none");
    }
    const ms = this.member(this.tape, this.sourceAt, names.ts_ms);
    const value =
      ms === NONE || words[ms] !== token.integer
        ? NaN
        : readSmallInteger(this.bytes, words[ms + 1] ?? 0, words[ms + 2] ?? 0);
    if (!Number.isSafeInteger(value * 1_000))
      throw invalidEvent("it has no time");
    return value * 1_000;
  }

  /** Inside of its transaction, over all tables, from 1. @throws ExtractError SOURCE_EVENT_INVALID */
  get orderInTransaction(): number {
    const { order } = this;
    if (order !== null && order >= 1 && order <= ORDER_MAX) return order;
    const at = findMember(
      this.bytes,
      this.tape.words,
      this.transactionAt,
      names.total_order,
    );
    // without the connector's counting: rows of one log event are numbered from 0
    const text =
      at === NONE ? this.sourceText("row") : this.text(this.tape, at);
    const found =
      text === null || order !== null
        ? NaN
        : Number(text) + (at === NONE ? 1 : 0);
    if (!Number.isInteger(found) || found < 1 || found > ORDER_MAX) {
      throw this.invalid("it has no number inside of its transaction");
    }
    return found;
  }

  /** The event's key, an object; null where it has none. @throws ExtractError SOURCE_EVENT_INVALID */
  readKey(): Located | null {
    const bytes = this.key ?? noBytes;
    if (bytes.length === 0) return null;
    const tape = this.#keyTape;
    this.#readTape(tape, "key", bytes);
    return this.#locatePayload({ bytes, words: tape.words, at: 0 });
  }

  /** The key that the row had before, where this event is the second half of a key's change; else null. */
  readOldKey(): Located | null {
    const bytes = this.headers ?? noBytes;
    if (bytes.length === 0) return null;
    const tape = this.#headersTape;
    this.#readTape(tape, "headers", bytes);
    const at = findMember(bytes, tape.words, 0, oldKeyName);
    return at === NONE
      ? null
      : this.#locatePayload({ bytes, words: tape.words, at });
  }

  /** What is under `payload` where schemas are embedded; the object itself where not. */
  #locatePayload({ bytes, words, at }: Located): Located | null {
    if (words[at] === token.null) return null;
    const payload = findMember(bytes, words, at, names.payload);
    const hasSchema = findMember(bytes, words, at, names.schema) !== NONE;
    const chosen = payload !== NONE && hasSchema ? payload : at;
    if (words[chosen] === token.null) return null;
    if (words[chosen] !== token.object)
      throw this.invalid("its key is no object");
    return { bytes, words, at: chosen };
  }

  #isText(name: Uint8Array, text: Uint8Array): boolean {
    const { words } = this.tape;
    const at = this.member(this.tape, this.sourceAt, name);
    if (at === NONE || words[at] === token.null) return false;
    if (words[at] === token.escapedText)
      return this.text(this.tape, at) === Buffer.from(text).toString("utf8");
    const start = words[at + 1] ?? 0;
    return (
      (words[at + 2] ?? 0) - start === text.length &&
      isAt(this.bytes, start, text)
    );
  }

  #readTape(tape: Tape, what: string, bytes: Uint8Array): void {
    try {
      tape.read(bytes, 0, bytes.length);
    } catch (error) {
      if (!(error instanceof JsonFault)) throw error;
      throw invalidEvent(
        `its ${what} is no JSON: ${error.message}`,
        {
          number: this.number,
          topic: this.topic.slice(0, 200),
          offset: error.offset,
        },
        error,
      );
    }
  }
}

const oldKeyName = Buffer.from("__debezium.oldkey");
