/**
 * Records as the model takes them: what XState's inspection tells of one actor, and beside it figures that no state
 * shows. They come from live processes and from files that anybody may have written, so `readRecord` bounds them.
 */

import {
  PARTITIONS_PER_RECORD_MAX,
  type Figures,
} from "../../../proto/figures.ts";
import { LOG_STEPS } from "../../../proto/log-budget.ts";

/** Characters of a name, a state or an event that are kept. */
const NAME_MAX = 200;
/** Characters of a key range, a position, a statement or an error. */
const TEXT_MAX = 4_000;
/** From one connector to the next. */
const HOPS_MAX = 4;

export interface ModelRecord {
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly process: string;
  /** 0 for the main thread; else the number of the socket it serves. */
  readonly thread: number;
  readonly kind: string;
  /** Session id, unique in its thread. */
  readonly actor: string;
  /** What it runs: the machine's id, or the name of a promise. */
  readonly machine: string;
  /** With `actor`: what its parent calls it, such as `reader:1/0`. */
  readonly name?: string;
  readonly state?: string;
  readonly event?: string;
  /** Session id of the sender, in the same thread. */
  readonly from?: string;
  /** Session id of the parent. */
  readonly parent?: string;
  /** With `stopped`. */
  readonly error?: string;
  /** With `dropped`: how many records were left out. */
  readonly count?: number;
  /** Without an actor. */
  readonly figures?: Figures;
}

/** Null for what is no record; longer texts than wanted are cut. */
export function readRecord(value: unknown): ModelRecord | null {
  if (!isObject(value)) return null;
  const { at, process, thread, kind, actor, machine } = value;
  if (typeof at !== "number" || !Number.isFinite(at)) return null;
  if (typeof process !== "string" || typeof kind !== "string") return null;
  const figures = "figures" in value ? readFigures(value["figures"]) : null;
  return {
    at,
    process: cut(process),
    thread: readCount(thread),
    kind: cut(kind),
    actor: readName(actor) ?? "",
    machine: readName(machine) ?? "",
    ...optional("name", readName(value["name"])),
    ...optional("error", readText(value["error"])),
    ...optional("state", readName(value["state"])),
    ...optional("event", readName(value["event"])),
    ...optional("from", readName(value["from"])),
    ...optional("parent", readName(value["parent"])),
    ...(value["count"] === undefined
      ? {}
      : { count: readCount(value["count"]) }),
    ...(figures === null ? {} : { figures }),
  };
}

function readFigures(value: unknown): Figures | null {
  if (!isObject(value)) return null;
  switch (value["type"]) {
    case "run":
      return {
        type: "run",
        state: readText(value["state"]) ?? "",
        sync: readText(value["sync"]),
        epoch: readCount(value["epoch"]),
        error: readText(value["error"]),
        ...(Array.isArray(value["architecture"])
          ? {
              architecture: value["architecture"]
                .slice(0, HOPS_MAX)
                .map((hop) => readText(hop) ?? ""),
            }
          : {}),
      };
    case "plan":
      return {
        type: "plan",
        stream: readCount(value["stream"]),
        name: readText(value["name"]) ?? "",
        rung: readText(value["rung"]) ?? "",
        reason: readText(value["reason"]) ?? "",
        partitions: readList(value["partitions"], (one) => ({
          ordinal: readCount(one["ordinal"]),
          rows: readCount(one["rows"]),
          bytes: readCount(one["bytes"]),
          range: readText(one["range"]) ?? "",
          isDone: one["isDone"] === true,
        })),
      };
    case "progress":
      return {
        type: "progress",
        partitions: readList(value["partitions"], (one) => ({
          stream: readCount(one["stream"]),
          partition: readCount(one["partition"]),
          attempt: readCount(one["attempt"]),
          channel: readCount(one["channel"]),
          rows: readCount(one["rows"]),
          bytes: readCount(one["bytes"]),
        })),
      };
    case "statement":
      return {
        type: "statement",
        stream: readCount(value["stream"]),
        partition: readCount(value["partition"]),
        channel: readCount(value["channel"]),
        sql: readText(value["sql"]) ?? "",
      };
    case "checkpoint":
      return readCheckpoint(value);
    case "log":
      return {
        type: "log",
        asOfMs: readCount(value["asOfMs"]),
        lagBytes:
          typeof value["lagBytes"] === "number"
            ? readCount(value["lagBytes"])
            : null,
        step: LOG_STEPS.find((one) => one === value["step"]) ?? "calm",
      };
    default:
      return null;
  }
}

const steps = ["announced", "durable", "released", "voided"] as const;

function readCheckpoint(value: Record<string, unknown>): Figures | null {
  const step = steps.find((one) => one === value["step"]);
  if (step === undefined) return null;
  return {
    type: "checkpoint",
    step,
    stream: readCount(value["stream"]),
    index: readCount(value["index"]),
    partition:
      typeof value["partition"] === "number"
        ? readCount(value["partition"])
        : null,
    rows: readCount(value["rows"]),
    bytes: readCount(value["bytes"]),
    position: readText(value["position"]),
    isLast: value["isLast"] === true,
  };
}

function readList<Item>(
  value: unknown,
  read: (one: Record<string, unknown>) => Item,
): Item[] {
  if (!Array.isArray(value)) return [];
  return value
    .slice(0, PARTITIONS_PER_RECORD_MAX)
    .filter(isObject)
    .map((one) => read(one));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whole and not below zero; 0 for all else. */
function readCount(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0
    ? value
    : 0;
}

function readName(value: unknown): string | null {
  return typeof value === "string" ? cut(value) : null;
}

function readText(value: unknown): string | null {
  return typeof value === "string" ? value.slice(0, TEXT_MAX) : null;
}

function cut(text: string): string {
  return text.length > NAME_MAX ? `${text.slice(0, NAME_MAX - 1)}…` : text;
}

function optional<Key extends string>(
  key: Key,
  value: string | null,
): Partial<Record<Key, string>> {
  return value === null ? {} : ({ [key]: value } as Record<Key, string>);
}
