/**
 * Plans one stream of a source that reads along a clustered key and cannot sample pages: ranges of the key by
 * arithmetic where it is dense, else by index dives, else one read. A pure generator as `planner.ts`. It asks at most
 * 1 + leaves × (2 + 3 × CUTS_MAX) questions.
 */
import assert from "node:assert/strict";
import type {
  KeyTuple,
  Partition,
  Plan,
  Rung,
  Split,
} from "../proto/partition.ts";
import {
  cutByDives,
  groupPieces,
  keepBounds,
  type DiveAnswer,
  type DiveQuestion,
  type Piece,
} from "./dives.ts";
import { splitIntegerKeys } from "./integer-keys.ts";
import { splitKeys } from "./key-splits.ts";
import type { PlanInput } from "./plan-input.ts";
import type { PlanAnswer, PlanQuestion } from "./questions.ts";
import {
  choosePartitionBytes,
  countPartitions,
  estimateLeaf,
  type SizeEstimate,
  type LeafMeasure,
} from "./sizing.ts";

/** Rows for each value between the smallest and the largest key, from which on arithmetic cuts evenly enough. */
const DENSITY_MIN = 0.5;
/** Below this share of the rows, a filter's own index is the better way in. */
const FILTER_SHARE_MAX = 0.2;

type SharedKind = "measureLeaves" | "keyRange" | "orderBounds";
export type DivePlanQuestion =
  | DiveQuestion
  | Extract<PlanQuestion, { kind: SharedKind }>;
export type DivePlanAnswer =
  | DiveAnswer
  | Extract<PlanAnswer, { kind: SharedKind }>;

export interface DivePlanInput extends Pick<
  PlanInput,
  | "stream"
  | "leaves"
  | "key"
  | "blockBytes"
  | "channels"
  | "checkpointTargetSeconds"
  | "bytesPerSecond"
  | "partitionBytesMin"
> {
  /** The key is one column of whole numbers. */
  readonly keyIsInteger: boolean;
}

type Asking<Result> = Generator<DivePlanQuestion, Result, DivePlanAnswer>;

function* ask<Kind extends DivePlanQuestion["kind"]>(
  question: Extract<DivePlanQuestion, { kind: Kind }>,
): Asking<Extract<DivePlanAnswer, { kind: Kind }>> {
  const answer = yield question;
  assert.equal(answer.kind, question.kind, "an answer to another question");
  return answer as Extract<DivePlanAnswer, { kind: Kind }>;
}

/** How a leaf was cut. */
type Way = "arithmetic" | "dives" | "uncut" | "byFilter" | "keyless";

export function* planByDives(input: DivePlanInput): Asking<Plan> {
  assert(input.leaves.length > 0, "a stream has at least one leaf");
  assert(input.channels >= 1 && input.blockBytes > 0);
  const { leaves: measures } = yield* ask({ kind: "measureLeaves" });
  assert.equal(measures.length, input.leaves.length, "one measure per leaf");
  const sizes = measures.map((one) => measureLeaf(one, input.blockBytes));
  const bytes = sizes.reduce((sum, size) => sum + size.bytes, 0);
  const partitionBytes = choosePartitionBytes(bytes, input);
  const partitions: Partition[] = [];
  const ways = new Set<Way>();
  for (const [index, leaf] of input.leaves.entries()) {
    const [size, measure] = [sizes[index], measures[index]];
    assert(size !== undefined && measure !== undefined);
    const cut = yield* cutLeaf(input, { index, size, measure, partitionBytes });
    ways.add(cut.way);
    for (const { split, share } of cut.parts) {
      partitions.push({
        stream: input.stream,
        ordinal: partitions.length,
        relation: leaf.relation,
        only: leaf.only,
        split,
        estimatedRows: Math.round(size.rows * share),
        estimatedBytes: Math.round(size.bytes * share),
      });
    }
  }
  return {
    stream: input.stream,
    ...nameOutcome(ways, partitions),
    partitions,
    estimatedRows: sizes.reduce((sum, size) => sum + size.rows, 0),
    estimatedBytes: Math.round(bytes),
  };
}

/** Rows of the statistics, in the bytes that are stored; without statistics, those that the pages could hold. */
function measureLeaf(measure: LeafMeasure, blockBytes: number): SizeEstimate {
  return estimateLeaf(measure, null, null, blockBytes);
}

interface Cut {
  readonly way: Way;
  /** Each with its share of the leaf, in (0, 1]. */
  readonly parts: readonly { readonly split: Split; readonly share: number }[];
}

interface LeafRequest {
  readonly index: number;
  readonly size: SizeEstimate;
  readonly measure: LeafMeasure;
  readonly partitionBytes: number;
}

function* cutLeaf(
  input: DivePlanInput,
  { index, size, measure, partitionBytes }: LeafRequest,
): Asking<Cut> {
  const { key } = input;
  const whole = (way: Way): Cut => ({
    way,
    parts: [{ split: { kind: "whole" }, share: 1 }],
  });
  if (key === null) return whole("keyless");
  if (isBestByFilter(input, measure, size)) return whole("byFilter");
  const count = countPartitions(
    size.bytes,
    partitionBytes,
    input.partitionBytesMin,
  );
  const { way, pieces } =
    count === 1
      ? { way: "uncut" as const, pieces: [{ end: null, rows: size.rows }] }
      : yield* findPieces(input, index, Math.max(size.rows, count), count);
  const bounds = pieces.flatMap(({ end }) => (end === null ? [] : [end]));
  const rows = pieces.reduce((sum, piece) => sum + piece.rows, 0);
  const parts = splitKeys(key, bounds).map((split, i) => ({
    split,
    share: rows > 0 ? (pieces[i]?.rows ?? 0) / rows : 1 / pieces.length,
  }));
  return { way: bounds.length === 0 ? "uncut" : way, parts };
}

/** Few rows pass the filter, and one read of them is short: the server then finds its own way, by an index if it has one. */
function isBestByFilter(
  input: DivePlanInput,
  { filteredRows, rowEstimate }: LeafMeasure,
  size: SizeEstimate,
): boolean {
  if (filteredRows === null || rowEstimate < 0) return false;
  const seconds = size.bytes / input.bytesPerSecond;
  return (
    filteredRows < rowEstimate * FILTER_SHARE_MAX &&
    seconds < input.checkpointTargetSeconds
  );
}

/** @param rows by the statistics, at least one for each range */
function* findPieces(
  input: DivePlanInput,
  leaf: number,
  rows: number,
  count: number,
): Asking<{ way: Way; pieces: readonly Piece[] }> {
  if (input.keyIsInteger) {
    const { range } = yield* ask({ kind: "keyRange", leaf });
    if (range === null || range.min > range.max) {
      return { way: "uncut", pieces: [{ end: null, rows }] };
    }
    const values = Number(range.max - range.min) + 1;
    if (rows >= values * DENSITY_MIN) {
      const ends = splitIntegerKeys(range.min, range.max, count).map(
        ({ end }) => (end === null ? null : [String(end)]),
      );
      const pieces = ends.map((end) => ({ end, rows: rows / ends.length }));
      return { way: "arithmetic", pieces };
    }
  }
  const cut = yield* cutByDives(leaf, rows, count);
  const pieces = groupPieces(cut, count);
  const asked = pieces.flatMap(({ end }) => (end === null ? [] : [end]));
  if (asked.length === 0) return { way: "uncut", pieces };
  const { bounds } = yield* ask({ kind: "orderBounds", leaf, bounds: asked });
  assert(isSubsequence(bounds, asked), "no bound is made up");
  return { way: "dives", pieces: keepBounds(pieces, bounds) };
}

function isSubsequence(
  some: readonly KeyTuple[],
  all: readonly KeyTuple[],
): boolean {
  let at = 0;
  for (const one of all) if (one === some[at]) at += 1;
  return at === some.length;
}

function nameOutcome(
  ways: ReadonlySet<Way>,
  partitions: readonly Partition[],
): { readonly rung: Rung; readonly reason: string } {
  const rung = partitions.some(({ split }) => split.kind === "key")
    ? "keyRanges"
    : "whole";
  if (ways.has("dives")) {
    return { rung, reason: "Key ranges, cut where index dives found keys." };
  }
  if (ways.has("arithmetic")) {
    return { rung, reason: "Key ranges, evenly spaced in a dense key." };
  }
  if (ways.has("uncut")) {
    return { rung, reason: "One key range, because more are not worth it." };
  }
  return {
    rung,
    reason: ways.has("byFilter")
      ? "One read, because the filter leaves few rows."
      : "One read, because there is no key that ranges can be cut on.",
  };
}
