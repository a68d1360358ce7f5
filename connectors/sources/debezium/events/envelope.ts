/** The outermost object of an event: what kind of event it is, and where its parts stand. */
import { invalidEvent } from "./faults.ts";
import { findMember, isAt, NONE } from "../../../json/members.ts";
import { readText } from "../../../json/strings.ts";
import { Tape, token, TOKEN_WORDS } from "../../../json/tape.ts";

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

export const names = {
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

export const opsByLetter: Readonly<Record<number, ChangeOp>> = {
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

const noBytes = new Uint8Array(0);

export abstract class Envelope {
  number = 0;
  topic = "";
  /** Of the value. */
  bytes: Uint8Array = noBytes;
  kind: EventKind = "tombstone";
  op: ChangeOp | null = null;
  /** Of the value. */
  readonly tape = new Tape();
  /** Tokens of the row's images, objects or NONE. */
  before = NONE;
  after = NONE;
  protected sourceAt = NONE;
  protected transactionAt = NONE;
  protected rootAt = NONE;
  protected ddlAt = NONE;

  /** @throws ExtractError SOURCE_EVENT_INVALID */
  protected classify(root: number): void {
    const { words } = this.tape;
    this.rootAt = root;
    if (words[root] === token.null) {
      this.kind = "tombstone";
      return;
    }
    if (words[root] !== token.object)
      throw this.invalid("its value is no object");
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
            this.ddlAt = this.#once(this.ddlAt, value, "ddl");
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
            this.sourceAt = this.#once(this.sourceAt, value, "source");
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
            this.transactionAt = this.#once(
              this.transactionAt,
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
        throw this.invalid("its payload is no object");
      this.ddlAt = NONE;
      return this.classify(payload);
    }
    if (op !== NONE) return this.#classifyChange(op);
    if (status !== NONE && words[status] === token.text) {
      const text = this.text(this.tape, status);
      if (text !== "BEGIN" && text !== "END")
        throw this.invalid(`a transaction's status ${text.slice(0, 40)}`);
      this.kind = "transaction";
    } else if (
      this.sourceAt !== NONE &&
      (this.ddlAt !== NONE || hasTableChanges)
    ) {
      if (
        this.ddlAt !== NONE &&
        words[this.ddlAt] !== token.text &&
        words[this.ddlAt] !== token.escapedText
      )
        this.ddlAt = NONE;
      this.kind = "schemaChange";
    } else if (hasTime && this.topic.startsWith(HEARTBEAT_TOPIC)) {
      this.kind = "heartbeat";
    } else {
      throw this.invalid("it is of no kind that Debezium has");
    }
  }

  #classifyChange(op: number): void {
    const { words } = this.tape;
    const start = words[op + 1] ?? 0;
    const length = (words[op + 2] ?? 0) - start;
    const letter =
      words[op] === token.text && length === 1 ? (this.bytes[start] ?? 0) : 0;
    if (this.sourceAt === NONE || words[this.sourceAt] !== token.object) {
      throw this.invalid("it does not say where it comes from");
    }
    if (letter === MESSAGE) {
      this.kind = "message";
      return;
    }
    const found = opsByLetter[letter];
    if (found === undefined) {
      const shown =
        words[op] === token.text ? this.text(this.tape, op) : "that is no text";
      throw this.invalid(`the operation ${shown.slice(0, 40)}`);
    }
    this.kind = "change";
    this.op = found;
    this.before = this.#imageOf(this.before, "before");
    this.after = this.#imageOf(this.after, "after");
    if (found === "t") return;
    if (found === "d" ? this.after !== NONE : this.after === NONE) {
      throw this.invalid(
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
      throw this.invalid(`its member ${name} is no row`);
    return at;
  }

  /** Whether a name of the right length is this one. */
  #isName(at: number, name: Uint8Array): boolean {
    return isAt(this.bytes, this.tape.words[at + 1] ?? 0, name);
  }

  #once(known: number, at: number, name: string): number {
    if (known !== NONE) throw this.invalid(`its member ${name} is there twice`);
    return at;
  }

  protected member(tape: Tape, object: number, name: Uint8Array): number {
    return findMember(this.bytes, tape.words, object, name);
  }

  protected text({ words }: Tape, at: number): string {
    return readText(
      this.bytes,
      words[at] ?? 0,
      words[at + 1] ?? 0,
      words[at + 2] ?? 0,
    );
  }

  protected invalid(reason: string): Error {
    return invalidEvent(reason, {
      number: this.number,
      topic: this.topic.slice(0, 200),
    });
  }
}
