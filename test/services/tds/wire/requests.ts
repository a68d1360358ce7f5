/**
 * What a client asks for after the login.
 * @see [MS-TDS] 2.2.6.6 "RPC Request", 2.2.6.7 "SQLBatch", 2.2.6.9 "Transaction Manager Request", 2.2.5.3 "Packet Data Stream Headers"
 */
import type { SqlType } from "../types/types.ts";
import type { Storage } from "../types/storage.ts";
import { readParameterType, readParameterValue } from "../types/parameters.ts";
import { Cursor } from "./cursor.ts";

export interface Parameter {
  /** With its `@`; empty when given by position. */
  readonly name: string;
  readonly output: boolean;
  readonly type: SqlType;
  readonly value: Storage;
}

export type Request =
  | { readonly kind: "batch"; readonly sql: string }
  | {
      readonly kind: "rpc";
      /** A name, or the number of a special procedure. */
      readonly procedure: string | number;
      readonly parameters: readonly Parameter[];
    }
  | {
      readonly kind: "begin" | "commit" | "rollback" | "save" | "unknown";
      /** Of a `begin`: 0 keeps the level. */
      readonly isolation: number;
      /** Of a `commit` or `rollback`: the level of the transaction that begins right after; null: none. */
      readonly beginsAgain: number | null;
    };

/** ALL_HEADERS; none of the headers changes an answer here. */
function skipHeaders(cursor: Cursor): void {
  const length = cursor.u32();
  if (length < 4) throw new RangeError(`headers of ${length} bytes`);
  cursor.take(length - 4);
}

export function readBatch(body: Buffer): Request {
  const cursor = new Cursor(body);
  skipHeaders(cursor);
  return { kind: "batch", sql: cursor.text(cursor.left >> 1) };
}

const BY_REFERENCE = 0x01;
/** BatchFlag or NoExecFlag: another call follows. */
const nextCall = new Set([0x80, 0xff, 0xfe]);

/** One call, or several in one message. */
export function readCalls(body: Buffer): Request[] {
  const cursor = new Cursor(body);
  skipHeaders(cursor);
  const calls: Request[] = [];
  while (cursor.left > 0) {
    const units = cursor.u16();
    const procedure = units === 0xffff ? cursor.u16() : cursor.text(units);
    cursor.u16(); // option flags
    const parameters: Parameter[] = [];
    while (cursor.left > 0 && !nextCall.has(cursor.bytes[cursor.at]!)) {
      const name = cursor.shortText();
      const output = (cursor.u8() & BY_REFERENCE) !== 0;
      const given = readParameterType(cursor);
      const value = readParameterValue(cursor, given);
      parameters.push({ name, output, type: given.type, value });
    }
    if (cursor.left > 0) cursor.u8();
    calls.push({ kind: "rpc", procedure, parameters });
  }
  return calls;
}

const transactionKinds = {
  5: "begin",
  7: "commit",
  8: "rollback",
  9: "save",
} as const;
const BEGINS_AGAIN = 0x01;

export function readTransactionRequest(body: Buffer): Request {
  const cursor = new Cursor(body);
  skipHeaders(cursor);
  const code = cursor.u16();
  const kind =
    transactionKinds[code as keyof typeof transactionKinds] ?? "unknown";
  if (kind === "begin")
    return { kind, isolation: cursor.u8(), beginsAgain: null };
  if (kind === "commit" || kind === "rollback") {
    cursor.take(cursor.u8()); // the transaction's name
    const again = cursor.left > 0 && (cursor.u8() & BEGINS_AGAIN) !== 0;
    return { kind, isolation: 0, beginsAgain: again ? cursor.u8() : null };
  }
  return { kind, isolation: 0, beginsAgain: null };
}
