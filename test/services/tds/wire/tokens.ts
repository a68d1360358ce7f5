/**
 * Tokens of a response that carry no rows.
 * @see [MS-TDS] 2.2.7 "Packet Data Stream Tokens"
 */
import type { ByteSink } from "./sink.ts";

export const tokens = {
  returnStatus: 0x79,
  colMetadata: 0x81,
  error: 0xaa,
  info: 0xab,
  returnValue: 0xac,
  loginAck: 0xad,
  featureExtAck: 0xae,
  row: 0xd1,
  nbcRow: 0xd2,
  envChange: 0xe3,
  done: 0xfd,
  doneProc: 0xfe,
  doneInProc: 0xff,
} as const;

/** @see [MS-TDS] 2.2.7.6 "DONE" */
export const doneStatus = {
  final: 0x00,
  more: 0x01,
  error: 0x02,
  inTransaction: 0x04,
  count: 0x10,
  attention: 0x20,
} as const;

export type DoneKind = "done" | "doneProc" | "doneInProc";

/** CurCmd of a SELECT. Drivers only show it. */
const SELECT_COMMAND = 0xc1;

export function writeDone(
  sink: ByteSink,
  kind: DoneKind,
  status: number,
  rowCount = 0,
): void {
  sink.u8(tokens[kind]).u16(status).u16(SELECT_COMMAND).u64(BigInt(rowCount));
}

/** An error or a message of the server. Classes above 10 are errors, 20 and more end the connection. */
export interface ServerMessage {
  readonly number: number;
  readonly message: string;
  /** Default 1. */
  readonly state?: number;
  /** Severity. Default 16 for an error, 0 for an info. */
  readonly class?: number;
  /** Default 1. */
  readonly line?: number;
  readonly procedure?: string;
}

const SERVER_NAME = "MILLRACE-TEST";

/** @see [MS-TDS] 2.2.7.10 "ERROR", 2.2.7.13 "INFO" */
export function writeMessage(
  sink: ByteSink,
  kind: "error" | "info",
  message: ServerMessage,
): void {
  sink.u8(tokens[kind]);
  const lengthAt = sink.reserve(2);
  sink
    .u32(message.number)
    .u8(message.state ?? 1)
    .u8(message.class ?? (kind === "error" ? 16 : 0))
    .longText(message.message)
    .shortText(SERVER_NAME)
    .shortText(message.procedure ?? "")
    .u32(message.line ?? 1);
  sink.bytes.writeUInt16LE(sink.length - lengthAt - 2, lengthAt);
}

/** @see [MS-TDS] 2.2.7.9 "ENVCHANGE" */
const textChanges = { database: 1, language: 2, packetSize: 4 } as const;
const byteChanges = {
  collation: 7,
  begin: 8,
  commit: 9,
  rollback: 10,
  reset: 18,
} as const;

export function writeTextChange(
  sink: ByteSink,
  kind: keyof typeof textChanges,
  now: string,
  before: string,
): void {
  sink
    .u8(tokens.envChange)
    .u16(3 + 2 * (now.length + before.length))
    .u8(textChanges[kind])
    .shortText(now)
    .shortText(before);
}

export function writeByteChange(
  sink: ByteSink,
  kind: keyof typeof byteChanges,
  now: Uint8Array,
  before: Uint8Array,
): void {
  sink
    .u8(tokens.envChange)
    .u16(3 + now.length + before.length)
    .u8(byteChanges[kind])
    .u8(now.length)
    .raw(now)
    .u8(before.length)
    .raw(before);
}

export function writeReturnStatus(sink: ByteSink, value: number): void {
  sink.u8(tokens.returnStatus).i32(value);
}
