/** One event of the log as it was read: what it is, and where its parts stand. Borrowed until the next one is read. */
import {
  JsonFault,
  Tape,
  token,
  TOKEN_WORDS,
  type TapeSource,
} from "./tape.ts";
import { invalidEvent } from "./faults.ts";
import { readText } from "./strings.ts";
import { readSmallInteger } from "./numbers.ts";

/**
 * - `change`: a row was inserted, updated or deleted, read by a snapshot, or a table was emptied (`op` says which)
 * - `tombstone`: a key without a value, which follows a deletion and says no more than that
 * - `transaction`: its begin or its end
 * - `schemaChange`: a statement that defines something
 * - `message`: what a program wrote into the log
 */
export type EventKind =
  | "change"
  | "tombstone"
  | "heartbeat"
  | "transaction"
  | "schemaChange"
  | "message";

/** c insert, u update, d delete, r read by a snapshot, t truncate. */
export type ChangeOp = "c" | "u" | "d" | "r" | "t";

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

/** An object on a tape: its bytes, its words, and the word where it begins. */
export interface Located extends TapeSource {
  readonly at: number;
}

const names = {
  op: Buffer.from("op"),
  ddl: Buffer.from("ddl"),
  after: Buffer.from("after"),
  before: Buffer.from("before"),
  source: Buffer.from("source"),
  status: Buffer.from("status"),
  ts_ms: Buffer.from("ts_ms"),
  ts_us: Buffer.from("ts_us"),
  schema: Buffer.from("schema"),
  table: Buffer.from("table"),
  payload: Buffer.from("payload"),
  tableChanges: Buffer.from("tableChanges"),
  transaction: Buffer.from("transaction"),
  total_order: Buffer.from("total_order"),
  db: Buffer.from("db"),
};

const HEARTBEAT_TOPIC = "__debezium-heartbeat";

/** Two rows of each have to fit into ten digits, below the number that stands for all of a transaction. */
const ORDER_MAX = 4_999_999_998;

const opsByLetter: Readonly<Record<number, ChangeOp>> = {
  [letterOf("c")]: "c",
  [letterOf("u")]: "u",
  [letterOf("d")]: "d",
  [letterOf("r")]: "r",
  [letterOf("t")]: "t",
};
const MESSAGE = letterOf("m");

function letterOf(letter: string): number {
  return letter.charCodeAt(0);
}

/** No such part. */
export const NONE = -1;

/** Bytes of one event with its key and headers. A row of Postgres has 1 GiB at most, and few have a thousandth. */
const EVENT_BYTES_MAX = 256 * 1024 * 1024;
const noBytes = new Uint8Array(0);

export class ChangeEvent implements EventParts {
  number = 0;
  order: number | null = null;
  topic = "";
  key: Uint8Array | null = null;
  value: Uint8Array | null = null;
  headers: Uint8Array | null = null;

  /** Of the value. */
  bytes: Uint8Array = noBytes;
  kind: EventKind = "tombstone";
  op: ChangeOp | null = null;
  /** Of the value. */
  readonly tape = new Tape();
  /** Tokens of the row's images, objects or NONE. */
  before = NONE;
  after = NONE;
  #source = NONE;
  #transaction = NONE;
  #root = NONE;
  #ddl = NONE;
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
      this.#source =
      this.#transaction =
      this.#ddl =
        NONE;
    const length =
      this.bytes.length + (key?.length ?? 0) + (headers?.length ?? 0);
    if (length > EVENT_BYTES_MAX) throw this.#invalid(`it has ${length} bytes`);
    if (this.bytes.length === 0) return this;
    this.#readTape(this.tape, "value", this.bytes);
    this.#classify(0);
    return this;
  }

  /** The tokens of the row's images stand in these. */
  get words(): Int32Array {
    return this.tape.words;
  }

  /** A column's text of the source block: `table`, `schema`, `file`, …; null where there is none. */
  sourceText(name: string): string | null {
    const at = this.#member(this.tape, this.#source, Buffer.from(name));
    const kind = at === NONE ? token.null : this.tape.words[at];
    return kind === token.text ||
      kind === token.escapedText ||
      kind === token.integer
      ? this.#text(this.tape, at)
      : null;
  }

  /** The schema of Postgres and SQL Server, the database of MySQL. */
  get namespace(): string | null {
    return this.sourceText("schema") ?? this.sourceText("db");
  }

  get table(): string | null {
    return this.sourceText("table");
  }

  /** Whether the event is of this table; faster than the texts. */
  isOf(namespace: Uint8Array, table: Uint8Array): boolean {
    return (
      this.#isText(names.table, table) &&
      (this.#isText(names.schema, namespace) ||
        this.#isText(names.db, namespace))
    );
  }

  /** The statement of a schema change; else null. */
  get ddl(): string | null {
    return this.#ddl === NONE ? null : this.#text(this.tape, this.#ddl);
  }

  /** BEGIN or END of a transaction event, and the transaction's name; else null. */
  get transaction(): { readonly status: string; readonly id: string } | null {
    if (this.kind !== "transaction") return null;
    const status = this.#member(this.tape, this.#root, names.status);
    const id = this.#member(this.tape, this.#root, Buffer.from("id"));
    return {
      status: this.#text(this.tape, status),
      id: id === NONE ? "" : this.#text(this.tape, id),
    };
  }

  /** When the source committed, in µs from 1970. @throws ExtractError SOURCE_EVENT_INVALID */
  get committedUs(): number {
    const { words } = this.tape;
    const us = this.#member(this.tape, this.#source, names.ts_us);
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
    const ms = this.#member(this.tape, this.#source, names.ts_ms);
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
      this.#transaction,
      names.total_order,
    );
    // without the connector's counting: rows of one log event are numbered from 0
    const text =
      at === NONE ? this.sourceText("row") : this.#text(this.tape, at);
    const found =
      text === null || order !== null
        ? NaN
        : Number(text) + (at === NONE ? 1 : 0);
    if (!Number.isInteger(found) || found < 1 || found > ORDER_MAX) {
      throw this.#invalid("it has no number inside of its transaction");
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

  #classify(root: number): void {
    const { words } = this.tape;
    this.#root = root;
    if (words[root] === token.null) {
      this.kind = "tombstone";
      return;
    }
    if (words[root] !== token.object)
      throw this.#invalid("its value is no object");
    let payload = NONE;
    let hasSchema = false;
    let op = NONE;
    let status = NONE;
    let hasTableChanges = false;
    let hasTime = false;
    const behind = words[root + 3] ?? 0;
    for (let name = root + TOKEN_WORDS; name < behind;) {
      const value = name + TOKEN_WORDS;
      switch ((words[name + 2] ?? 0) - (words[name + 1] ?? 0)) {
        case 2:
          if (this.#isName(name, names.op)) op = this.#once(op, value, "op");
          break;
        case 3:
          if (this.#isName(name, names.ddl))
            this.#ddl = this.#once(this.#ddl, value, "ddl");
          break;
        case 5:
          if (this.#isName(name, names.after))
            this.after = this.#once(this.after, value, "after");
          else if (this.#isName(name, names.ts_ms)) hasTime = true;
          break;
        case 6:
          if (this.#isName(name, names.before))
            this.before = this.#once(this.before, value, "before");
          else if (this.#isName(name, names.source))
            this.#source = this.#once(this.#source, value, "source");
          else if (this.#isName(name, names.status))
            status = this.#once(status, value, "status");
          else if (this.#isName(name, names.schema)) hasSchema = true;
          break;
        case 7:
          if (this.#isName(name, names.payload))
            payload = this.#once(payload, value, "payload");
          break;
        case 11:
          if (this.#isName(name, names.transaction))
            this.#transaction = this.#once(
              this.#transaction,
              value,
              "transaction",
            );
          break;
        case 12:
          if (this.#isName(name, names.tableChanges)) hasTableChanges = true;
          break;
        default:
      }
      name = words[value + 3] ?? behind;
    }
    if (hasSchema && payload !== NONE && op === NONE) {
      if (words[payload] !== token.object && words[payload] !== token.null)
        throw this.#invalid("its payload is no object");
      this.#ddl = NONE;
      return this.#classify(payload);
    }
    if (op !== NONE) return this.#classifyChange(op);
    if (status !== NONE && words[status] === token.text) {
      const text = this.#text(this.tape, status);
      if (text !== "BEGIN" && text !== "END")
        throw this.#invalid(`a transaction's status ${text.slice(0, 40)}`);
      this.kind = "transaction";
    } else if (
      this.#source !== NONE &&
      (this.#ddl !== NONE || hasTableChanges)
    ) {
      if (
        this.#ddl !== NONE &&
        words[this.#ddl] !== token.text &&
        words[this.#ddl] !== token.escapedText
      )
        this.#ddl = NONE;
      this.kind = "schemaChange";
    } else if (hasTime && this.topic.startsWith(HEARTBEAT_TOPIC)) {
      this.kind = "heartbeat";
    } else {
      throw this.#invalid("it is of no kind that Debezium has");
    }
  }

  #classifyChange(op: number): void {
    const { words } = this.tape;
    const start = words[op + 1] ?? 0;
    const length = (words[op + 2] ?? 0) - start;
    const letter =
      words[op] === token.text && length === 1 ? (this.bytes[start] ?? 0) : 0;
    if (this.#source === NONE || words[this.#source] !== token.object) {
      throw this.#invalid("it does not say where it comes from");
    }
    if (letter === MESSAGE) {
      this.kind = "message";
      return;
    }
    const found = opsByLetter[letter];
    if (found === undefined) {
      const shown =
        words[op] === token.text
          ? this.#text(this.tape, op)
          : "that is no text";
      throw this.#invalid(`the operation ${shown.slice(0, 40)}`);
    }
    this.kind = "change";
    this.op = found;
    this.before = this.#imageOf(this.before, "before");
    this.after = this.#imageOf(this.after, "after");
    if (found === "t") return;
    if (found === "d" ? this.after !== NONE : this.after === NONE) {
      throw this.#invalid(
        found === "d"
          ? "a deletion with a row behind it"
          : "a change without its row",
      );
    }
  }

  #imageOf(at: number, name: string): number {
    const kind = at === NONE ? token.null : this.tape.words[at];
    if (kind === token.null) return NONE;
    if (kind !== token.object)
      throw this.#invalid(`its member ${name} is no row`);
    return at;
  }

  /** What is under `payload` where schemas are embedded; the object itself where not. */
  #locatePayload({ bytes, words, at }: Located): Located | null {
    if (words[at] === token.null) return null;
    const payload = findMember(bytes, words, at, names.payload);
    const hasSchema = findMember(bytes, words, at, names.schema) !== NONE;
    const chosen = payload !== NONE && hasSchema ? payload : at;
    if (words[chosen] === token.null) return null;
    if (words[chosen] !== token.object)
      throw this.#invalid("its key is no object");
    return { bytes, words, at: chosen };
  }

  #member(tape: Tape, object: number, name: Uint8Array): number {
    return findMember(this.bytes, tape.words, object, name);
  }

  /** Whether a name of the right length is this one. */
  #isName(at: number, name: Uint8Array): boolean {
    return isAt(this.bytes, this.tape.words[at + 1] ?? 0, name);
  }

  #isText(name: Uint8Array, text: Uint8Array): boolean {
    const { words } = this.tape;
    const at = this.#member(this.tape, this.#source, name);
    if (at === NONE || words[at] === token.null) return false;
    if (words[at] === token.escapedText)
      return this.#text(this.tape, at) === Buffer.from(text).toString("utf8");
    const start = words[at + 1] ?? 0;
    return (
      (words[at + 2] ?? 0) - start === text.length &&
      isAt(this.bytes, start, text)
    );
  }

  #once(known: number, at: number, name: string): number {
    if (known !== NONE)
      throw this.#invalid(`its member ${name} is there twice`);
    return at;
  }

  #text({ words }: Tape, at: number): string {
    return readText(
      this.bytes,
      words[at] ?? 0,
      words[at + 1] ?? 0,
      words[at + 2] ?? 0,
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

  #invalid(reason: string): Error {
    return invalidEvent(reason, {
      number: this.number,
      topic: this.topic.slice(0, 200),
    });
  }
}

const oldKeyName = Buffer.from("__debezium.oldkey");

/** The value token of an object's member; NONE where there is none, and where the token is NONE or of no object. */
export function findMember(
  bytes: Uint8Array,
  words: Int32Array,
  object: number,
  name: Uint8Array,
): number {
  if (object === NONE || words[object] !== token.object) return NONE;
  const behind = words[object + 3] ?? 0;
  for (let at = object + TOKEN_WORDS; at < behind;) {
    const start = words[at + 1] ?? 0;
    if (
      (words[at + 2] ?? 0) - start === name.length &&
      isAt(bytes, start, name)
    ) {
      return at + TOKEN_WORDS;
    }
    at = words[at + TOKEN_WORDS + 3] ?? behind;
  }
  return NONE;
}

function isAt(bytes: Uint8Array, start: number, text: Uint8Array): boolean {
  for (let i = 0; i < text.length; i++) {
    if (bytes[start + i] !== text[i]) return false;
  }
  return true;
}
