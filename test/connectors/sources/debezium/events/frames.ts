/** Events of lines as the engine's frames have them, by protobufjs and the definition in `proto/log.proto`. */
import { readFileSync } from "node:fs";
import protobuf from "protobufjs";
import { FrameReader } from "../../../../../connectors/sources/debezium/engine/frames.ts";
import {
  BatchEvent,
  type EventRun,
} from "../../../../../connectors/sources/debezium/events/batch-event.ts";
import type { EventParts } from "../../../../../connectors/sources/debezium/events/event.ts";
import type { ValueKind } from "../../../../../connectors/sources/debezium/events/types.ts";

const definition = protobuf.parse(
  readFileSync(
    new URL("../../../../../proto/log.proto", import.meta.url),
    "utf8",
  ),
  { keepCase: true },
).root;
const frameType = definition.lookupType("millrace.log.v1.LogFrame");

/** A number of a JSON text, with all its digits. */
class Digits {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Members = Readonly<Record<string, unknown>>;

/** How the columns of a table come, where a string is not text. */
export type Kinds = ReadonlyMap<string, ValueKind>;

interface FrameField {
  readonly name: string;
  readonly type: string;
}

function parseExactly(bytes: Uint8Array): unknown {
  const revive = (
    _name: string,
    value: unknown,
    context: { readonly source?: string },
  ): unknown =>
    typeof value === "number" ? new Digits(context.source ?? "") : value;
  return JSON.parse(
    Buffer.from(bytes).toString(),
    revive as (this: unknown, key: string, value: unknown) => unknown,
  ) as unknown;
}

const bytesOf = new Set<ValueKind>([
  ...(["binary", "bits", "uint64", "decimalBytes"] as const),
]);

/** As which type Java would have it: the narrowest of all its values. */
function chooseType(values: readonly unknown[], kind?: ValueKind): string {
  const there = values.filter((value) => value !== null && value !== undefined);
  if (kind === "float32" || kind === "float64")
    if (there.every(isFloat))
      return kind === "float32" && there.every(fitsSingle)
        ? "FLOAT32"
        : "FLOAT64";
  if (there.every((value) => typeof value === "boolean")) return "BOOLEAN";
  if (there.every((value) => value instanceof Digits)) {
    const digits = there.map(({ text }) => text);
    if (digits.some((text) => /[.eE]/.test(text))) return "NUMBER";
    const numbers = digits.map(BigInt);
    const fits = (bits: number): boolean =>
      numbers.every((one) => BigInt.asIntN(bits, one) === one);
    return fits(32) ? "INT32" : fits(64) ? "INT64" : "NUMBER";
  }
  if (there.every((value) => typeof value === "string"))
    return kind !== undefined && bytesOf.has(kind) && there.every(isBase64)
      ? "BYTES"
      : "TEXT";
  return "JSON";
}

function isFloat(value: unknown): boolean {
  return value instanceof Digits
    ? /[.eE]/.test(value.text)
    : /^(NaN|-?Infinity)$/.test(String(value));
}

function fitsSingle(value: unknown): boolean {
  const number = Number(value instanceof Digits ? value.text : value);
  return Number.isFinite(Math.fround(number)) || !Number.isFinite(number);
}

function isBase64(text: string): boolean {
  return Buffer.from(text, "base64").toString("base64") === text;
}

function encodeRow(fields: readonly FrameField[], row: Members): Uint8Array {
  const writer = protobuf.Writer.create();
  for (const [i, { name, type }] of fields.entries()) {
    const value = row[name];
    if (value === null || value === undefined) continue;
    const text =
      value instanceof Digits
        ? value.text
        : typeof value === "string"
          ? value
          : JSON.stringify(value);
    const tag = (wireType: number) => writer.uint32((i + 1) * 8 + wireType);
    switch (type) {
      case "BOOLEAN":
        tag(0).bool(value === true);
        break;
      case "INT32":
        tag(0).sint32(Number(text));
        break;
      case "INT64": {
        const bits = BigInt.asUintN(64, BigInt(text));
        tag(1);
        writer.fixed32(Number(bits & 0xffff_ffffn));
        writer.fixed32(Number(bits >> 32n));
        break;
      }
      case "FLOAT32":
        tag(5).float(Number(text));
        break;
      case "FLOAT64":
        tag(1).double(Number(text));
        break;
      case "BYTES":
        tag(2).bytes(Buffer.from(text, "base64"));
        break;
      case "JSON":
        tag(2).string(JSON.stringify(value, writeDigits));
        break;
      default:
        tag(2).string(text);
    }
  }
  return writer.finish();
}

function writeDigits(_name: string, value: unknown): unknown {
  return value instanceof Digits ? Number(value.text) : value;
}

interface FrameItem {
  readonly line?: string;
  readonly shape?: {
    readonly number: number;
    readonly topic: string;
    readonly namespace: string;
    readonly table: string;
    readonly row: readonly FrameField[];
    readonly key: readonly FrameField[];
  };
  readonly event?: Members;
}

/** Without the length in front of it. */
export function encodeFrame(
  items: readonly FrameItem[],
  eventsBefore = 0,
): Buffer {
  const frame = frameType.fromObject({ events_before: eventsBefore, items });
  return Buffer.from(frameType.encode(frame).finish());
}

export function delimit(frame: Uint8Array): Buffer {
  const length = protobuf.Writer.create().uint32(frame.length).finish();
  return Buffer.concat([length, frame]);
}

/** A change as its line has it: the parsed members of its value. */
interface Change {
  readonly parts: EventParts;
  readonly value: Members;
  readonly key: Members | null;
  readonly oldKey: Members | null;
}

function parseChange(parts: EventParts): Change | null {
  if (parts.value === null) return null;
  const value = parseExactly(parts.value) as Members;
  if (typeof value["op"] !== "string" || value["op"] === "m") return null;
  const headers =
    parts.headers === null ? {} : (parseExactly(parts.headers) as Members);
  const key =
    parts.key === null ? null : unwrap(parseExactly(parts.key) as Members);
  const oldKey = headers["__debezium.oldkey"] as Members | undefined;
  return { parts, value, key, oldKey: oldKey ? unwrap(oldKey) : null };
}

function unwrap(key: Members): Members {
  return "payload" in key ? (key["payload"] as Members) : key;
}

/**
 * Changes of one table that look alike as one frame, with their shape in front; what is no change of a row is left out.
 */
export function toFrame(events: readonly EventParts[], kinds: Kinds): Buffer {
  const changes = events.map(parseChange).filter((one) => one !== null);
  const rows = changes.flatMap(({ value }) =>
    [value["after"], value["before"]].filter(
      (row): row is Members => typeof row === "object" && row !== null,
    ),
  );
  const keys = changes.flatMap(({ key, oldKey }) =>
    [key, oldKey].filter((one) => one !== null),
  );
  const row = describe(rows, kinds);
  const key = describe(keys, kinds);
  const [first] = changes;
  const source = (first?.value["source"] ?? {}) as Members;
  const shape = {
    ...{ number: 1, topic: first?.parts.topic ?? "", row, key },
    namespace: String(source["schema"] ?? source["db"]),
    table: String(source["table"]),
  };
  const items = changes.map((change) => ({
    event: toEvent(change, row, key),
  }));
  return encodeFrame([{ shape }, ...items], (first?.parts.number ?? 1) - 1);
}

function describe(rows: readonly Members[], kinds: Kinds): FrameField[] {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return names.map((name) => {
    const values = rows.map((one) => one[name]);
    return { name, type: chooseType(values, kinds.get(name)) };
  });
}

function toEvent(
  { parts, value, key, oldKey }: Change,
  rowFields: readonly FrameField[],
  keyFields: readonly FrameField[],
): Members {
  const source = value["source"] as Members;
  const row = (name: string): Members => {
    const image = value[name];
    return image === null || image === undefined
      ? {}
      : { [name]: encodeRow(rowFields, image as Members) };
  };
  const total = (value["transaction"] as Members | null)?.["total_order"];
  return {
    shape: 1,
    op: String(value["op"]).charCodeAt(0),
    order: Number(parts.order ?? (total instanceof Digits ? total.text : 1)),
    committed_us: Number((source["ts_us"] as Digits).text),
    ...(key === null ? {} : { key: encodeRow(keyFields, key) }),
    ...(oldKey === null ? {} : { old_key: encodeRow(keyFields, oldKey) }),
    ...row("before"),
    ...row("after"),
  };
}

/** The only run of events in a frame. */
export function readRun(frame: Buffer): EventRun {
  for (const message of new FrameReader().read(frame))
    if (message.type === "events") return message.run;
  throw new Error("the frame has no events");
}

/** An event of a frame, from its line. */
export function toBatchEvent(parts: EventParts, kinds: Kinds): BatchEvent {
  const event = new BatchEvent().begin(readRun(toFrame([parts], kinds)));
  if (!event.next()) throw new Error("it is no change of a row");
  return event;
}

/** The kinds of values of a table's columns. */
export function kindsOf(
  columns: readonly { readonly name: string; readonly kind: ValueKind }[],
): Kinds {
  return new Map(columns.map(({ name, kind }) => [name, kind]));
}
