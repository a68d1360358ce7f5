/**
 * The packets of the MySQL protocol that a bulk read sends and meets, MariaDB's additions included.
 * @see MySQL internals, "Client/Server Protocol"; MariaDB manual, "Client/Server Protocol"
 */
import { ExtractError } from "../../../../proto/error.ts";
import type { ServerError } from "../errors.ts";

/** Bytes in front of each packet: three of length, one of sequence number. */
export const HEADER_BYTES = 4;
/** A payload of this length goes on in the next packet. */
export const PAYLOAD_BYTES_MAX = 0xff_ffff;
/** Bytes of the largest packet that is no row: names are short, messages are at most 512 characters. */
export const MESSAGE_BYTES_MAX = 64 * 1024;
/** Columns of a table in every storage engine and in a view. @see MySQL manual, "Limits on Table Column Count" */
const COLUMNS_MAX = 4_096;

/** The first byte of a payload. */
export const markers = {
  ok: 0x00,
  localInfile: 0xfb,
  /** Both of EOF and, where EOF is deprecated, of the OK that ends the rows. */
  eof: 0xfe,
  error: 0xff,
} as const;

const commands = {
  binlogDump: 0x12,
  prepare: 0x16,
  execute: 0x17,
  close: 0x19,
} as const;

/** Where the events of a binlog's file begin. */
const BINLOG_START = 4;
/** At the log's end the answer ends, too. */
const BINLOG_DUMP_NON_BLOCK = 1;

/** What the two sides have agreed on at login, as far as it shapes an answer. */
export interface Capabilities {
  /** CLIENT_DEPRECATE_EOF: nothing stands between column definitions and rows. */
  readonly deprecateEof: boolean;
  /** MARIADB_CLIENT_EXTENDED_METADATA: definitions name types that the protocol has no number for. */
  readonly extendedMetadata: boolean;
}

/** COM_STMT_PREPARE; statements of 16 MiB and more go in several packets. */
export function encodePrepare(sql: string): Buffer {
  const body = Buffer.from(sql, "utf8");
  return encodeCommand(Buffer.concat([Buffer.from([commands.prepare]), body]));
}

/** COM_STMT_EXECUTE of a statement without parameters, without a cursor. */
export function encodeExecute(statement: number): Buffer {
  const body = Buffer.alloc(10);
  body[0] = commands.execute;
  body.writeUInt32LE(statement, 1);
  body.writeUInt32LE(1, 6); // iterations
  return encodeCommand(body);
}

/** COM_STMT_CLOSE, which has no answer. */
export function encodeClose(statement: number): Buffer {
  const body = Buffer.alloc(5);
  body[0] = commands.close;
  body.writeUInt32LE(statement, 1);
  return encodeCommand(body);
}

/** COM_BINLOG_DUMP of one file from its beginning. */
export function encodeBinlogDump(file: string, serverId: number): Buffer {
  const head = Buffer.alloc(11);
  head[0] = commands.binlogDump;
  head.writeUInt32LE(BINLOG_START, 1);
  head.writeUInt16LE(BINLOG_DUMP_NON_BLOCK, 5);
  head.writeUInt32LE(serverId, 7);
  return encodeCommand(Buffer.concat([head, Buffer.from(file, "latin1")]));
}

function encodeCommand(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  let offset = 0;
  for (let sequence = 0; ; sequence++) {
    const part = body.subarray(offset, offset + PAYLOAD_BYTES_MAX);
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUIntLE(part.length, 0, 3);
    header[3] = sequence & 255;
    parts.push(header, part);
    offset += part.length;
    // a full packet is followed by another, be it empty
    if (part.length < PAYLOAD_BYTES_MAX) return Buffer.concat(parts);
  }
}

export interface PreparedStatement {
  readonly statement: number;
  readonly columns: number;
  readonly parameters: number;
}

/** The payload of a COM_STMT_PREPARE_OK, `buffer[start, end)`. @throws ExtractError SOURCE_PROTOCOL_VIOLATION */
export function readPrepareOk(
  buffer: Buffer,
  start: number,
  end: number,
): PreparedStatement {
  if (end - start < 12 || buffer[start] !== markers.ok) {
    throw violation("an answer to a prepare that is none");
  }
  return {
    statement: buffer.readUInt32LE(start + 1),
    columns: buffer.readUInt16LE(start + 5),
    parameters: buffer.readUInt16LE(start + 7),
  };
}

/** The number of columns that opens the answer to an execute. @throws ExtractError SOURCE_PROTOCOL_VIOLATION */
export function readColumnCount(
  buffer: Buffer,
  start: number,
  end: number,
): number {
  const reader = new PayloadReader(buffer, start, end);
  const count = reader.readInteger();
  if (reader.at !== end || count < 1 || count > COLUMNS_MAX) {
    throw violation(`a result of ${count} columns`);
  }
  return count;
}

/** A result column as its definition describes it. */
export interface ResultField {
  readonly name: string;
  /** MYSQL_TYPE_… */
  readonly type: number;
  /** Number of the collation; 63 is binary. */
  readonly charset: number;
  readonly isUnsigned: boolean;
  /** Digits behind the point; 31 where their number is not fixed. */
  readonly decimals: number;
  /** MariaDB's name of a type without a number, e.g. `uuid`; empty elsewhere. */
  readonly extendedType: string;
}

const UNSIGNED_FLAG = 32;

/** The payload of a column definition (Protocol::ColumnDefinition41). @throws ExtractError SOURCE_PROTOCOL_VIOLATION */
export function readColumnDefinition(
  buffer: Buffer,
  start: number,
  end: number,
  capabilities: Capabilities,
): ResultField {
  const reader = new PayloadReader(buffer, start, end);
  // catalog, schema, table and original table
  for (let index = 0; index < 4; index++) reader.readText();
  const name = reader.readText();
  reader.readText(); // original name
  const extendedType = capabilities.extendedMetadata
    ? readExtendedType(reader)
    : "";
  const rest = reader.at;
  // length of the rest: 12; charset, display length, type, flags, decimals, filler
  if (end - rest < 13 || buffer[rest] !== 12) {
    throw violation("a column definition that is cut off");
  }
  return {
    name,
    charset: buffer.readUInt16LE(rest + 1),
    type: buffer[rest + 7] ?? 0,
    isUnsigned: (buffer.readUInt16LE(rest + 8) & UNSIGNED_FLAG) !== 0,
    decimals: buffer[rest + 10] ?? 0,
    extendedType,
  };
}

/** Pairs of a kind byte and a text; kind 0 is the type's name. */
function readExtendedType(reader: PayloadReader): string {
  const block = reader.readBytes();
  const inner = new PayloadReader(block, 0, block.length);
  let type = "";
  while (inner.at < block.length) {
    const kind = inner.readByte();
    const text = inner.readText();
    if (kind === 0) type = text;
  }
  return type;
}

/** The payload of an ERR packet, its marker included. */
export function readError(
  buffer: Buffer,
  start: number,
  end: number,
): ServerError {
  if (end - start < 3) throw violation("an error that is cut off");
  const errno = buffer.readUInt16LE(start + 1);
  const hasState = buffer[start + 3] === 0x23 && end - start >= 9; // '#'
  return {
    errno,
    sqlState: hasState ? buffer.toString("latin1", start + 4, start + 9) : "",
    message: buffer.toString("utf8", start + (hasState ? 9 : 3), end),
  };
}

/** Reads integers and texts of encoded length, each bounded by the payload. */
class PayloadReader {
  at: number;
  readonly #buffer: Buffer;
  readonly #end: number;

  constructor(buffer: Buffer, start: number, end: number) {
    this.#buffer = buffer;
    this.at = start;
    this.#end = end;
  }

  readByte(): number {
    if (this.at >= this.#end) throw violation("a packet that is cut off");
    return this.#buffer[this.at++] ?? 0;
  }

  /** An integer of encoded length, up to 2^24. */
  readInteger(): number {
    const first = this.readByte();
    if (first < 251) return first;
    const size = first === 252 ? 2 : first === 253 ? 3 : 0;
    if (size === 0 || this.at + size > this.#end) {
      throw violation(`a length that begins with ${first}`);
    }
    const value = this.#buffer.readUIntLE(this.at, size);
    this.at += size;
    return value;
  }

  readBytes(): Buffer {
    const length = this.readInteger();
    if (length > this.#end - this.at) throw violation("a text that is cut off");
    this.at += length;
    return this.#buffer.subarray(this.at - length, this.at);
  }

  readText(): string {
    return this.readBytes().toString("utf8");
  }
}

export function violation(what: string): ExtractError {
  return new ExtractError(
    "SOURCE_PROTOCOL_VIOLATION",
    `the server sent ${what}`,
  );
}
