/**
 * What a source executable keeps of a stream in its STATE messages, and how a read goes on from there: what is left of a
 * plan with the place in each partition, or a cursor. Pure.
 */
import type { DiscoveredWire } from "../../proto/control.ts";
import { ExtractError } from "../../proto/error.ts";
import type { KeyTuple, Partition, Plan } from "../../proto/partition.ts";
import { hasKey } from "../recalled-plan.ts";
import type { KeptPlan } from "../run-messages.ts";
import { nameTable } from "../../proto/table-name.ts";

const VERSION = 1;
/** Ranges that nobody has begun are joined where a state would list more. */
const PARTITIONS_MAX = 256;

type KeptSplit = Extract<Partition["split"], { kind: "key" | "whole" }>;

/** A range of keys, of which those up to `after` are read; or what is read from its beginning. */
export interface KeptPartition {
  readonly relation: Partition["relation"];
  readonly only: boolean;
  readonly split: KeptSplit;
  readonly after: KeyTuple | null;
  readonly rows: number;
  readonly bytes: number;
}

/** Of one stream. `fingerprint` is that of its columns. */
export type ReadState =
  | {
      readonly kind: "plan";
      readonly fingerprint: string;
      readonly partitions: readonly KeptPartition[];
    }
  /** All of it has been read. */
  | { readonly kind: "done"; readonly fingerprint: string }
  /** Its changes are followed, and a part of its rows is still to be read. */
  | {
      readonly kind: "copy";
      readonly fingerprint: string;
      readonly partitions: readonly KeptPartition[];
      /** It comes to the log where the shared state says, and not before. */
      readonly isEntering: boolean;
    }
  /** All its rows have been read, and its changes are followed. */
  | {
      readonly kind: "log";
      /** The stream as it travels, as JSON. */
      readonly schema: string;
    }
  | {
      readonly kind: "cursor";
      readonly column: string;
      /** The source's own. */
      readonly cursor: string;
    };

/** The value of `stream_state`. */
export function describeReadState(state: ReadState): object {
  return { millrace: VERSION, ...state };
}

/**
 * Null: there is none, or an empty one.
 * @throws ExtractError STATE_INCOMPATIBLE for what another connector, or a newer one, has written
 */
export function parseReadState(
  value: unknown,
  stream: string,
): ReadState | null {
  if (value === null || value === undefined) return null;
  const members = value as Partial<ReadState> & { readonly millrace?: unknown };
  if (typeof value === "object" && Object.keys(value).length === 0) return null;
  const isOurs = members.millrace === VERSION && isWhole(members);
  if (!isOurs)
    throw new ExtractError(
      "STATE_INCOMPATIBLE",
      `the state of ${stream} was not written by this connector: clear it, and the stream is read from its beginning`,
      { stream },
    );
  return members as ReadState;
}

function isWhole(state: Partial<ReadState>): boolean {
  switch (state.kind) {
    case "done":
      return typeof state.fingerprint === "string";
    case "cursor":
      return (
        typeof state.cursor === "string" && typeof state.column === "string"
      );
    case "log":
      return typeof state.schema === "string";
    case "copy":
    case "plan":
      return (
        (state.kind !== "copy" || typeof state.isEntering === "boolean") &&
        typeof state.fingerprint === "string" &&
        Array.isArray(state.partitions) &&
        state.partitions.every(isPartition)
      );
    default:
      return false;
  }
}

function isTuple(value: unknown, length: number): boolean {
  return (
    value === null ||
    (Array.isArray(value) &&
      value.length === length &&
      value.every((one) => typeof one === "string"))
  );
}

function isPartition(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { relation, only, split, after, rows, bytes } =
    value as Partial<KeptPartition>;
  const isNamed =
    typeof relation?.schema === "string" &&
    typeof relation.name === "string" &&
    typeof relation.oid === "number" &&
    typeof only === "boolean" &&
    typeof rows === "number" &&
    typeof bytes === "number";
  if (split?.kind === "whole") return isNamed && (after ?? null) === null;
  const width = split?.columns?.length ?? 0;
  return (
    isNamed &&
    split?.kind === "key" &&
    width > 0 &&
    isTuple(split.columns, width) &&
    isTuple(split.types, width) &&
    isTuple(split.start, width) &&
    isTuple(split.end, width) &&
    isTuple(after ?? null, width)
  );
}

/** Joins neighbours that nobody has begun, until there are few enough. */
export function joinRanges(
  partitions: readonly KeptPartition[],
  countMax = PARTITIONS_MAX,
): readonly KeptPartition[] {
  if (partitions.length <= countMax) return partitions;
  const factor = Math.ceil(partitions.length / countMax);
  const joined: KeptPartition[] = [];
  let inLast = 0;
  for (const one of partitions) {
    const last = joined.at(-1);
    const fits =
      last !== undefined &&
      inLast < factor &&
      last.after === null &&
      one.after === null &&
      last.relation.oid === one.relation.oid &&
      last.split.kind === "key" &&
      one.split.kind === "key" &&
      last.split.end !== null &&
      one.split.start !== null &&
      JSON.stringify(last.split.end) === JSON.stringify(one.split.start);
    if (!fits) {
      joined.push(one);
      inLast = 1;
      continue;
    }
    inLast++;
    joined[joined.length - 1] = {
      ...last,
      split: { ...last.split, end: one.split.end },
      rows: last.rows + one.rows,
      bytes: last.bytes + one.bytes,
    };
  }
  return joined;
}

/** Of what a run has planned, the partitions that are not done. */
export function keepPartitions(
  { partitions }: Pick<Plan, "partitions">,
  done: ReadonlySet<number>,
  after: ReadonlyMap<number, KeyTuple>,
): readonly KeptPartition[] {
  return partitions.flatMap(
    ({ ordinal, split, relation, only, estimatedRows, estimatedBytes }) =>
      done.has(ordinal) || (split.kind !== "key" && split.kind !== "whole")
        ? []
        : [
            {
              ...{ relation, only, split },
              after: after.get(ordinal) ?? null,
              rows: estimatedRows,
              bytes: estimatedBytes,
            },
          ],
  );
}

/**
 * The plan of what is left of a stream.
 * @throws ExtractError STATE_INCOMPATIBLE where its table is another by now
 */
export function recallReadState(
  { schema, leaves, key = null }: DiscoveredWire,
  state: Extract<ReadState, { kind: "plan" | "copy" }>,
): KeptPlan {
  const isSame =
    state.fingerprint === schema.fingerprint &&
    state.partitions.every(
      (one) =>
        leaves.some(({ oid }) => oid === one.relation.oid) && hasKey(one, key),
    );
  if (isSame) return toKeptPlan(schema.number, state);
  const label = nameTable(schema);
  throw new ExtractError(
    "STATE_INCOMPATIBLE",
    `${label} has other columns, another key or other parts than when its state was written: clear it, and the stream is read from its beginning`,
    { stream: label },
  );
}

/** The plan of what is left, numbered anew. */
export function toKeptPlan(
  stream: number,
  { partitions }: Extract<ReadState, { kind: "plan" | "copy" }>,
): KeptPlan {
  const sum = (of: (one: KeptPartition) => number): number =>
    partitions.reduce((total, one) => total + of(one), 0);
  const plan: Plan = {
    stream,
    rung: partitions.some(({ split }) => split.kind === "whole")
      ? "whole"
      : "keyRanges",
    reason: "what a state says is left",
    estimatedRows: sum(({ rows }) => rows),
    estimatedBytes: sum(({ bytes }) => bytes),
    partitions: partitions.map(
      ({ relation, only, split, rows, bytes }, ordinal) => ({
        ...{ stream, ordinal, relation, only, split },
        estimatedRows: rows,
        estimatedBytes: bytes,
      }),
    ),
  };
  return {
    plan,
    open: partitions.flatMap(({ after }, partition) =>
      after === null
        ? []
        : [{ partition, position: { kind: "key" as const, after } }],
    ),
  };
}
