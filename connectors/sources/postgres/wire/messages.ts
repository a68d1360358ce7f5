/**
 * The messages of Postgres' protocol, version 3, that a bulk read sends and meets.
 * @see Postgres manual, "Frontend/Backend Protocol", "Message Formats"
 */
import { strict as assert } from "node:assert";
import { ExtractError } from "../../../../proto/error.ts";
import type { ServerError } from "../errors.ts";

/** Message types from the server, by their byte. */
export const tags = {
  bindComplete: 0x32, // '2'
  commandComplete: 0x43, // 'C'
  dataRow: 0x44, // 'D'
  emptyQuery: 0x49, // 'I'
  errorResponse: 0x45, // 'E'
  noData: 0x6e, // 'n'
  noticeResponse: 0x4e, // 'N'
  notification: 0x41, // 'A'
  parameterStatus: 0x53, // 'S'
  parseComplete: 0x31, // '1'
  readyForQuery: 0x5a, // 'Z'
  rowDescription: 0x54, // 'T'
} as const;

/** Bytes of the largest message that is no row; a description of 1,664 columns has about 150 KiB. */
export const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;

/** A statement with its parameters as text and the format code asked for each result column. */
export interface BoundQuery {
  readonly sql: string;
  readonly params: readonly string[];
  readonly resultFormats: readonly (0 | 1)[];
}

/** Parse, Bind, Describe, Execute without a limit, and Sync, on the unnamed statement and portal, in one piece. */
export function encodeQuery(query: BoundQuery): Buffer {
  const params = query.params.map((text) => Buffer.from(text, "utf8"));
  const bind: Buffer[] = [
    Buffer.from([0, 0]), // portal and statement
    int16s([0, params.length]), // all parameters are text
    ...params.flatMap((param) => [int32(param.length), param]),
    int16s([query.resultFormats.length, ...query.resultFormats]),
  ];
  return Buffer.concat([
    message("P", [Buffer.from(`\0${query.sql}\0`, "utf8"), int16s([0])]),
    message("B", bind),
    message("D", [Buffer.from("P\0")]),
    message("E", [Buffer.from([0]), int32(0)]),
    message("S", []),
  ]);
}

function message(tag: string, parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 4);
  return Buffer.concat([Buffer.from(tag), int32(length), ...parts]);
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}

function int16s(values: readonly number[]): Buffer {
  assert(values.length < 32_768);
  const buffer = Buffer.alloc(2 * values.length);
  for (const [index, value] of values.entries()) {
    buffer.writeInt16BE(value, 2 * index);
  }
  return buffer;
}

/** A result column as RowDescription names it. */
export interface ResultField {
  readonly name: string;
  readonly typeOid: number;
  readonly format: number;
}

/** The body of a RowDescription, `buffer[start, end)`. @throws ExtractError SOURCE_PROTOCOL_VIOLATION */
export function readRowDescription(
  buffer: Buffer,
  start: number,
  end: number,
): ResultField[] {
  if (end - start < 2) throw violation("a row description without a count");
  const count = buffer.readInt16BE(start);
  const fields: ResultField[] = [];
  let at = start + 2;
  for (let index = 0; index < count; index++) {
    const nameEnd = buffer.indexOf(0, at);
    // behind the name: table oid, column number, type oid, size, modifier, format
    if (nameEnd < 0 || nameEnd + 19 > end) {
      throw violation("a row description that is cut off");
    }
    fields.push({
      name: buffer.toString("utf8", at, nameEnd),
      typeOid: buffer.readUInt32BE(nameEnd + 7),
      format: buffer.readInt16BE(nameEnd + 17),
    });
    at = nameEnd + 19;
  }
  if (at !== end) throw violation("bytes behind a row description");
  return fields;
}

/** The body of an ErrorResponse: a type byte and a string for each field, ended by a zero. */
export function readErrorResponse(
  buffer: Buffer,
  start: number,
  end: number,
): ServerError {
  const fields = new Map<string, string>();
  let at = start;
  while (at < end && buffer[at] !== 0) {
    const textEnd = buffer.indexOf(0, at + 1);
    if (textEnd < 0 || textEnd >= end) throw violation("an error cut off");
    const name = String.fromCharCode(buffer[at] ?? 0);
    fields.set(name, buffer.toString("utf8", at + 1, textEnd));
    at = textEnd + 1;
  }
  return {
    code: fields.get("C") ?? "XX000",
    message: fields.get("M") ?? "an error without a message",
    severity: fields.get("V") ?? fields.get("S"),
    detail: fields.get("D"),
    hint: fields.get("H"),
  };
}

export function violation(what: string): ExtractError {
  return new ExtractError(
    "SOURCE_PROTOCOL_VIOLATION",
    `the server sent ${what}`,
  );
}
