/**
 * Lines of JSON: which message each is, and the values of records without an object for them. A record's line is read
 * once, as a tape of places; messages of other types are few, and read by whoever wants them.
 */
import { isUtf8 } from "node:buffer";
import { renameOlderFile } from "../../airbyte/file-reference.ts";
import { invalidMessage } from "../../airbyte/messages.ts";
import { findMember, NONE } from "../../json/members.ts";
import { readDouble } from "../../json/numbers.ts";
import { areBytes, readText } from "../../json/strings.ts";
import { JsonFault, Tape, token, TOKEN_WORDS } from "../../json/tape.ts";
import type {
  RecordColumn,
  RecordFacts,
  RecordRow,
  RecordValues,
} from "./record-decoder.ts";
import type { Refusal } from "./value-writer.ts";

const names = {
  type: Buffer.from("type"),
  record: Buffer.from("record"),
  stream: Buffer.from("stream"),
  namespace: Buffer.from("namespace"),
  data: Buffer.from("data"),
  emittedAt: Buffer.from("emitted_at"),
  meta: Buffer.from("meta"),
  changes: Buffer.from("changes"),
  partitionId: Buffer.from("partition_id"),
  fileReference: Buffer.from("file_reference"),
  file: Buffer.from("file"),
};
const RECORD = Buffer.from("RECORD");

/** A line that was read as a record. Borrowed until the next one is read. */
export class JsonRecord implements RecordValues, RecordFacts {
  readonly #tape = new Tape();
  #bytes: Uint8Array = new Uint8Array(0);
  #stream = NONE;
  #namespace = NONE;
  #data = NONE;
  #partition = NONE;
  #file = NONE;
  #olderFile = NONE;
  emittedAtMs = 0;
  changes: readonly unknown[] = [];
  /** Of the line. */
  byteCount = 0;

  /**
   * Reads a line.
   * @returns false for one that is no record: it may be another message, or none
   * @throws ExtractError CONNECTOR_MESSAGE_INVALID for a record that is not as a record has to be
   */
  read(line: Buffer): boolean {
    // what was printed, and not written as a message, does not begin like one
    if (line[0] !== 123 && !/^\s*\{/.test(line.toString("latin1", 0, 64)))
      return false;
    try {
      this.#tape.read(line, 0, line.length);
    } catch (error) {
      if (!(error instanceof JsonFault)) throw error;
      if (!isRecordLike(line)) return false;
      throw invalidMessage(`no JSON: ${error.message}`, showLine(line), error);
    }
    const { words } = this.#tape;
    this.#bytes = line;
    const type = findMember(line, words, 0, names.type);
    if (type === NONE || !this.#isText(type, RECORD)) return false;
    const record = findMember(line, words, 0, names.record);
    if (record === NONE || words[record] !== token.object)
      throw invalidMessage("record: it is no object", showLine(line));
    this.#readRecord(record, line);
    return true;
  }

  #readRecord(record: number, line: Buffer): void {
    const { words } = this.#tape;
    const find = (name: Buffer) => findMember(line, words, record, name);
    this.#stream = find(names.stream);
    this.#namespace = find(names.namespace);
    this.#data = find(names.data);
    this.#partition = find(names.partitionId);
    this.#file = find(names.fileReference);
    this.#olderFile = this.#file === NONE ? find(names.file) : NONE;
    if (!this.#isAnyText(this.#stream))
      throw invalidMessage("record.stream: it is no text", showLine(line));
    const isFileAlone =
      this.#olderFile !== NONE &&
      (this.#data === NONE || words[this.#data] === token.null);
    if (isFileAlone) this.#data = NONE;
    else if (this.#data === NONE || words[this.#data] !== token.object)
      throw invalidMessage("record.data: it is no object", showLine(line));
    const emitted = find(names.emittedAt);
    const kind = emitted === NONE ? NONE : words[emitted];
    if (kind !== token.integer && kind !== token.real)
      throw invalidMessage(
        "record.emitted_at: it is no number",
        showLine(line),
      );
    this.emittedAtMs = readDouble(
      line,
      words[emitted + 1] ?? 0,
      words[emitted + 2] ?? 0,
    );
    const meta = find(names.meta);
    this.changes =
      meta === NONE || words[meta] !== token.object
        ? []
        : this.#readChanges(findMember(line, words, meta, names.changes));
    this.byteCount = line.length;
  }

  #readChanges(at: number): readonly unknown[] {
    const { words } = this.#tape;
    if (at === NONE || words[at] !== token.array) return [];
    const text = Buffer.from(
      this.#bytes.subarray(words[at + 1] ?? 0, words[at + 2] ?? 0),
    ).toString("utf8");
    return JSON.parse(text) as unknown[];
  }

  /** Whether it is of this stream; null is in no namespace. */
  isOf(namespace: Uint8Array | null, name: Uint8Array): boolean {
    if (!this.#isText(this.#stream, name)) return false;
    const isNone =
      this.#namespace === NONE ||
      this.#tape.words[this.#namespace] === token.null ||
      this.#isText(this.#namespace, empty);
    return namespace === null
      ? isNone
      : !isNone && this.#isText(this.#namespace, namespace);
  }

  get stream(): string {
    return this.#text(this.#stream);
  }

  get namespace(): string | null {
    const text = this.#isAnyText(this.#namespace)
      ? this.#text(this.#namespace)
      : "";
    return text === "" ? null : text;
  }

  /** Null: none is said. */
  get partitionId(): string | null {
    return this.#isAnyText(this.#partition)
      ? this.#text(this.#partition)
      : null;
  }

  /** The object's JSON; null where the record stands for no file. */
  get fileReference(): string | null {
    const older = this.#object(this.#olderFile);
    return older === null ? this.#object(this.#file) : renameOlderFile(older);
  }

  #object(at: number): string | null {
    const { words } = this.#tape;
    return at === NONE || words[at] !== token.object
      ? null
      : Buffer.from(
          this.#bytes.subarray(words[at + 1] ?? 0, words[at + 2] ?? 0),
        ).toString("utf8");
  }

  write(row: RecordRow): void {
    if (this.#data === NONE) return;
    const { words } = this.#tape;
    const { columns } = row;
    const behind = words[this.#data + 3] ?? 0;
    let expected = 0;
    for (let name = this.#data + TOKEN_WORDS; name < behind;) {
      const value = name + TOKEN_WORDS;
      const next = words[value + 3] ?? behind;
      let column = columns[expected];
      // members mostly come as the schema has them
      if (column === undefined || !this.#isName(name, column.nameBytes)) {
        expected = columns.findIndex((one) =>
          this.#isName(name, one.nameBytes),
        );
        column = columns[expected];
      }
      if (column === undefined) {
        expected = 0;
        row.ignore(this.#text(name));
      } else {
        expected += 1;
        this.#writeValue(row, column, value);
      }
      name = next;
    }
  }

  #writeValue(row: RecordRow, column: RecordColumn, at: number): void {
    const { words } = this.#tape;
    if (row.isTaken(column))
      throw invalidMessage(`record.data.${column.name}: it is there twice`, "");
    const kind = words[at] ?? 0;
    if (kind === token.null) {
      row.putNull(column);
      return;
    }
    row.take(column);
    const refusal = this.#putValue(row, column, at, kind);
    if (refusal !== null) row.refuse(column, refusal, () => this.#show(at));
  }

  #putValue(
    { writer, row, storeOf }: RecordRow,
    column: RecordColumn,
    at: number,
    kind: number,
  ): Refusal {
    const { words } = this.#tape;
    const bytes = this.#bytes;
    const start = words[at + 1] ?? 0;
    const end = words[at + 2] ?? 0;
    const store = storeOf(column);
    const { type } = column;
    switch (kind) {
      case token.true:
      case token.false:
        return writer.writeBoolean(type, store, row, kind === token.true);
      case token.integer:
      case token.real:
        return writer.writeNumber(
          type,
          store,
          row,
          bytes,
          start,
          end,
          kind === token.integer,
        );
      case token.text:
        // its quotes belong to it
        if (type.kind === "json")
          return writer.writeJson(type, store, row, bytes, start - 1, end + 1);
        return writer.writeText(type, store, row, bytes, start, end);
      case token.escapedText: {
        if (type.kind === "json")
          return writer.writeJson(type, store, row, bytes, start - 1, end + 1);
        const text = Buffer.from(readText(bytes, kind, start, end));
        return writer.writeText(type, store, row, text, 0, text.length);
      }
      default:
        return writer.writeJson(type, store, row, bytes, start, end);
    }
  }

  #isName(at: number, name: Uint8Array): boolean {
    const { words } = this.#tape;
    if (words[at] === token.escapedText)
      return this.#text(at) === Buffer.from(name).toString("utf8");
    return areBytes(this.#bytes, words[at + 1] ?? 0, words[at + 2] ?? 0, name);
  }

  #isText(at: number, text: Uint8Array): boolean {
    return this.#isAnyText(at) && this.#isName(at, text);
  }

  #isAnyText(at: number): boolean {
    if (at === NONE) return false;
    const kind = this.#tape.words[at];
    return kind === token.text || kind === token.escapedText;
  }

  #text(at: number): string {
    const { words } = this.#tape;
    return readText(
      this.#bytes,
      words[at] ?? 0,
      words[at + 1] ?? 0,
      words[at + 2] ?? 0,
    );
  }

  #show(at: number): string {
    const { words } = this.#tape;
    const start = words[at + 1] ?? 0;
    const end = Math.min(words[at + 2] ?? 0, start + 400);
    return Buffer.from(this.#bytes.subarray(start, end)).toString("utf8");
  }
}

const empty = new Uint8Array(0);

/** A line that is no JSON, and looks as if a record had been meant: its rows must not get lost among what is printed. */
function isRecordLike(line: Buffer): boolean {
  return /^\s*\{\s*"/.test(line.toString("latin1", 0, 64));
}

/** The text of a line; null where it is no UTF-8. */
export function readLine(line: Buffer): string | null {
  return isUtf8(line) ? line.toString("utf8") : null;
}

function showLine(line: Buffer): string {
  return line.toString("utf8", 0, 400);
}
