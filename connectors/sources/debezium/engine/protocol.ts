/**
 * The lines of the engine as values. The engine is a process of ours, but what it carries comes from a database: each
 * line has a bound, and what is not as it should be is an error, never a guess. Keys and values stay bytes: their
 * lengths are in front of them, so that nothing is parsed here that the decoder parses again.
 */
import { ExtractError } from "../../../../proto/error.ts";
import type { EventRun } from "../events/batch-event.ts";

/** Where a connector goes on, as text that is kept and given back without looking into it. */
export type EngineOffset = string & { readonly offset: unique symbol };

/**
 * What the engine writes: lines of JSON alone, or frames with lines of JSON and with events of ours, which cost less on
 * both sides. Lines alone are there to be measured beside the other.
 */
export type EngineFormat = "json" | "batches";

/** One cause of a failure, from the outside in. */
export interface EngineCause {
  readonly class: string;
  readonly message: string;
  readonly sqlState?: string;
  readonly vendorCode?: number;
}

export type EngineMessage =
  | {
      readonly type: "started";
      readonly debezium: string;
      readonly java: string;
    }
  | { readonly type: "ready" }
  | {
      readonly type: "begin";
      /** xid, GTID, or `file=…,pos=…`; null where the log has none. */
      readonly transaction: string | null;
      /** 20 characters that grow from transaction to transaction of one server. */
      readonly position: string;
      readonly committedAtMs: number;
    }
  | EngineEvent
  /** Of one transaction, as frames have them. */
  | { readonly type: "events"; readonly run: EventRun }
  | {
      readonly type: "commit";
      /** Of the last event. */
      readonly number: number;
      /** Of this transaction. */
      readonly events: number;
      readonly offset: EngineOffset | null;
      /** It is to be durable before anything that follows; or nothing follows. Absent: neither. */
      readonly closes?: "group" | "log";
    }
  /** Of topics: what is told of the unit so far is all of it, which is to be durable before the unit's commit is told. */
  | { readonly type: "intent"; readonly offset: EngineOffset }
  | {
      readonly type: "heartbeat";
      readonly offset: EngineOffset | null;
      /** Nothing follows. */
      readonly closes?: "log";
    }
  | { readonly type: "history"; readonly record: string }
  | { readonly type: "stopped" }
  | { readonly type: "error"; readonly causes: readonly EngineCause[] };

export interface EngineEvent {
  readonly type: "event";
  /** From 1, in this process. */
  readonly number: number;
  /** From 1, in its transaction, over all tables. */
  readonly order: number;
  /** `m.schema.table`, in which odd characters are `_`: the names themselves are in the value's `source`. */
  readonly topic: string;
  /** JSON, or null. The bytes are borrowed: they stay as long as somebody has this message. */
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** A JSON object; null: there are none. */
  readonly headers: Buffer | null;
  /** Made before its table was discovered; absent: as its transaction's place says. */
  readonly isOlder?: boolean;
}

/** What an event's line has beside key and value: names, numbers, headers. */
export const LINE_OVERHEAD_BYTES = 65_536;
/** Longest piece of a line that is repeated in an error. */
const SHOWN_CHARS_MAX = 200;

/** In front of the key. */
const eventHead =
  /^\{"t":"event","n":(\d{1,16}),"e":(\d{1,16}),"kb":(\d{1,10}),"vb":(\d{1,10}),"d":("(?:[^"\\]|\\.)*"),"k":/;
const HEAD_BYTES_MAX = 4_096;
/** Tried first: nearly every head is shorter, and a string of the longest would cost more than all else here. */
const HEAD_BYTES_USUAL = 192;
const EVENT_START = Buffer.from('{"t":"event"');
const VALUE_MARK = Buffer.from(',"v":');
const HEADERS_MARK = Buffer.from(',"h":');
const NULL_BYTES = Buffer.from("null");

/**
 * Reads one line, without its line feed.
 * @throws ExtractError SOURCE_PROTOCOL_VIOLATION
 */
export function parseLine(line: Buffer): EngineMessage {
  return hasAt(line, 0, EVENT_START) ? parseEvent(line) : parseOther(line);
}

function parseEvent(line: Buffer): EngineEvent {
  const match =
    eventHead.exec(line.toString("latin1", 0, HEAD_BYTES_USUAL)) ??
    eventHead.exec(line.toString("latin1", 0, HEAD_BYTES_MAX));
  if (match === null) throw violation(line);
  const [head, number, order, keyBytes, valueBytes, topic] = match;
  const keyEnd = head.length + Number(keyBytes);
  const valueStart = keyEnd + VALUE_MARK.length;
  const valueEnd = valueStart + Number(valueBytes);
  if (
    valueEnd >= line.length ||
    !hasAt(line, keyEnd, VALUE_MARK) ||
    line[line.length - 1] !== 0x7d
  )
    throw violation(line);
  const rest = line.subarray(valueEnd, line.length - 1);
  if (rest.length > 0 && !hasAt(rest, 0, HEADERS_MARK)) throw violation(line);
  return {
    type: "event",
    number: Number(number),
    order: Number(order),
    topic: readTopic(topic ?? "", line),
    key: orNull(line.subarray(head.length, keyEnd)),
    value: orNull(line.subarray(valueStart, valueEnd)),
    headers: rest.length === 0 ? null : rest.subarray(HEADERS_MARK.length),
  };
}

/** Whether these bytes stand there: a few, which a loop compares faster than a view of them is made. */
function hasAt(line: Buffer, at: number, bytes: Buffer): boolean {
  for (let i = 0; i < bytes.length; i++)
    if (line[at + i] !== bytes[i]) return false;
  return true;
}

/** The last one's text and name: events of one table come together. */
let lastTopic = { text: '""', name: "" };

function readTopic(text: string, line: Buffer): string {
  if (text !== lastTopic.text) {
    // what latin1 has made of UTF-8 is undone
    const name = parseJson(Buffer.from(text, "latin1"), line) as string;
    lastTopic = { text, name };
  }
  return lastTopic.name;
}

function orNull(json: Buffer): Buffer | null {
  return json.length === NULL_BYTES.length && hasAt(json, 0, NULL_BYTES)
    ? null
    : json;
}

function parseOther(line: Buffer): EngineMessage {
  const fields = readFields(line);
  const text = (name: string): string => {
    const value = fields[name];
    if (typeof value !== "string") throw violation(line);
    return value;
  };
  const textOrNull = (name: string): string | null =>
    fields[name] === null ? null : text(name);
  const count = (name: string): number => {
    const value = fields[name];
    if (!Number.isSafeInteger(value)) throw violation(line);
    return value as number;
  };
  switch (fields["t"]) {
    case "started":
      return {
        type: "started",
        debezium: text("debezium"),
        java: text("java"),
      };
    case "ready":
    case "stopped":
      return { type: fields["t"] };
    case "begin":
      return {
        type: "begin",
        transaction: textOrNull("tx"),
        position: text("p"),
        committedAtMs: count("ms"),
      };
    case "commit":
      return {
        type: "commit",
        number: count("n"),
        events: count("events"),
        offset: textOrNull("o") as EngineOffset | null,
      };
    case "heartbeat":
      return {
        type: "heartbeat",
        offset: textOrNull("o") as EngineOffset | null,
      };
    case "history":
      return { type: "history", record: text("r") };
    case "error":
      return { type: "error", causes: readCauses(fields["causes"], line) };
    default:
      throw violation(line);
  }
}

function readFields(line: Buffer): Readonly<Record<string, unknown>> {
  const value = parseJson(line, line);
  if (typeof value !== "object" || value === null) throw violation(line);
  return value as Record<string, unknown>;
}

function parseJson(json: Buffer, line: Buffer): unknown {
  try {
    return JSON.parse(json.toString()) as unknown;
  } catch {
    throw violation(line);
  }
}

function readCauses(value: unknown, line: Buffer): EngineCause[] {
  if (!Array.isArray(value)) throw violation(line);
  return value.map((one: Partial<EngineCause> | null) => ({
    class: String(one?.class),
    message: String(one?.message),
    ...(typeof one?.sqlState === "string" ? { sqlState: one.sqlState } : {}),
    ...(typeof one?.vendorCode === "number"
      ? { vendorCode: one.vendorCode }
      : {}),
  }));
}

/** Of a line or a frame that is longer than a change may be. */
export function refuseChange(bytesMax: number): ExtractError {
  return new ExtractError(
    "SOURCE_ROW_TOO_LARGE",
    `a change has more than ${bytesMax} bytes`,
    { bytesMax },
  );
}

function violation(line: Buffer): ExtractError {
  return new ExtractError(
    "SOURCE_PROTOCOL_VIOLATION",
    "the change data engine wrote a line that is none of its own",
    { line: line.toString("latin1", 0, SHOWN_CHARS_MAX), bytes: line.length },
  );
}

/** The settings line: everything that the engine is told, passwords included. */
export function formatSettings(settings: {
  readonly properties: Readonly<Record<string, string>>;
  readonly offset: EngineOffset | null;
  readonly history: readonly string[];
  readonly lineBytesMax: number;
  readonly discard: boolean;
  readonly format: EngineFormat;
}): string {
  return `${JSON.stringify(settings)}\n`;
}

export function formatAck(offset: EngineOffset): string {
  return `${JSON.stringify({ t: "ack", o: offset })}\n`;
}

export const stopLine = `${JSON.stringify({ t: "stop" })}\n`;
