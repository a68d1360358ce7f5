/**
 * What a source executable keeps of a stream in its STATE messages, and how a read goes on from there: what is left of a
 * plan with the place in each partition, or a cursor. Pure.
 */
import { ExtractError } from "../../proto/error.ts";
import type { KeyTuple, Partition, Plan } from "../../proto/partition.ts";
import type { KeptPlan } from "../run-messages.ts";

const VERSION = 1;
/** Ranges that nobody has begun are joined where a state would list more. */
const PARTITIONS_MAX = 256;

type KeySplit = Extract<Partition["split"], { kind: "key" }>;

/** A range of keys, of which those up to `after` are read. */
export interface KeptPartition {
  readonly relation: Partition["relation"];
  readonly only: boolean;
  readonly split: KeySplit;
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
    case "plan":
      return (
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
  const width = split?.columns?.length ?? 0;
  return (
    typeof relation?.schema === "string" &&
    typeof relation.name === "string" &&
    typeof relation.oid === "number" &&
    typeof only === "boolean" &&
    typeof rows === "number" &&
    typeof bytes === "number" &&
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

/** The plan of what is left, numbered anew. */
export function toKeptPlan(
  stream: number,
  { partitions }: Extract<ReadState, { kind: "plan" }>,
): KeptPlan {
  const sum = (of: (one: KeptPartition) => number): number =>
    partitions.reduce((total, one) => total + of(one), 0);
  const plan: Plan = {
    stream,
    rung: "keyRanges",
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
