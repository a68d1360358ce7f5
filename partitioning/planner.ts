/**
 * Plans one stream: walks the ladder from cheap to dear (heap pages, key ranges, whole) and says which rung it took
 * and why. A pure generator: it yields questions and is resumed with their answers, so that a plan depends on nothing
 * else. At most 1 + ROW_SAMPLES_MAX + 3 × leaves questions.
 */
import assert from "node:assert/strict";
import type {
  KeyTuple,
  Partition,
  Plan,
  Rung,
  Split,
} from "../proto/partition.ts";
import { splitIntegerKeys } from "./integer-keys.ts";
import { splitKeys } from "./key-splits.ts";
import { splitPages } from "./pages.ts";
import { cutAtQuantiles } from "./quantiles.ts";
import type { KeyInput, LeafInput, PlanInput } from "./plan-input.ts";
import type { PlanAnswer, PlanQuestion } from "./questions.ts";
import { canReadPages, chooseRung, nameOutcome } from "./rung.ts";
import {
  choosePartitionBytes,
  countPartitions,
  estimateLeaf,
  storedBytes,
  type LeafMeasure,
  type RowSample,
  type SizeEstimate,
} from "./sizing.ts";

/** Leaves of one stream whose row size is sampled; the others take their average. */
export const ROW_SAMPLES_MAX = 8;
/** Pages of a row size sample: 2 MiB of reads, some ten thousand rows. */
const ROW_SAMPLE_PAGES = 256;
/** Pages of a key sample: quantiles come out to about 1 / sqrt(pages), 3 %. */
const KEY_SAMPLE_PAGES = 1_024;
/** And more for many bounds, so that no two of them fall on one page. */
const KEY_SAMPLE_PAGES_PER_BOUND = 8;
/** Keys that a sample brings over the wire, whatever the table. */
export const KEY_SAMPLE_KEYS_MAX = 20_000;
/** Sampled keys behind each bound, where the sample has them. */
const KEYS_PER_BOUND = 100;
/** Below this share of the rows, a filter's own index is the better way in. */
const FILTER_SHARE_MAX = 0.2;

interface Leaf extends LeafInput {
  readonly index: number;
  readonly measure: LeafMeasure;
  readonly size: SizeEstimate;
  readonly sampled: RowSample | null;
}

type Asking<Result> = Generator<PlanQuestion, Result, PlanAnswer>;

function* ask<Kind extends PlanQuestion["kind"]>(
  question: Extract<PlanQuestion, { kind: Kind }>,
): Asking<Extract<PlanAnswer, { kind: Kind }>> {
  const answer = yield question;
  assert.equal(answer.kind, question.kind, "an answer to another question");
  return answer as Extract<PlanAnswer, { kind: Kind }>;
}

export function* planStream(input: PlanInput): Asking<Plan> {
  assert(input.leaves.length > 0, "a stream has at least one leaf");
  assert(input.channels >= 1 && input.blockBytes > 0);
  const leaves = yield* measure(input);
  const bytes = leaves.reduce((sum, leaf) => sum + leaf.size.bytes, 0);
  const choice = chooseRung(input, bytes);
  const partitionBytes = choosePartitionBytes(bytes, input);
  const partitions: Partition[] = [];
  for (const leaf of leaves) {
    const splits = yield* splitLeaf(input, leaf, choice.rung, partitionBytes);
    for (const split of splits) {
      partitions.push({
        stream: input.stream,
        ordinal: partitions.length,
        relation: leaf.relation,
        only: leaf.only,
        split,
        estimatedRows: Math.round(leaf.size.rows / splits.length),
        estimatedBytes: Math.round(leaf.size.bytes / splits.length),
      });
    }
  }
  return {
    stream: input.stream,
    ...nameOutcome(choice, partitions),
    partitions,
    estimatedRows: leaves.reduce((sum, leaf) => sum + leaf.size.rows, 0),
    estimatedBytes: Math.round(bytes),
  };
}

/** Measures all leaves and samples the row size of the largest. Leaves that fit one partition are not worth a query. */
function* measure(input: PlanInput): Asking<Leaf[]> {
  const { leaves: measures } = yield* ask({ kind: "measureLeaves" });
  assert.equal(measures.length, input.leaves.length, "one measure per leaf");
  const largest = measures
    .map((leaf, index) => ({
      index,
      pages: leaf.pages,
      stored: storedBytes(leaf, input.blockBytes),
    }))
    .filter(
      ({ index, pages, stored }) =>
        input.leaves[index]?.heap &&
        pages > 0 &&
        stored > input.partitionBytesMin,
    )
    .sort((a, b) => b.stored - a.stored || a.index - b.index)
    .slice(0, ROW_SAMPLES_MAX);
  const samples = new Map<number, RowSample>();
  for (const { index, pages } of largest) {
    const fraction = Math.min(1, ROW_SAMPLE_PAGES / pages);
    const { rows, bytesPerRow } = yield* ask({
      kind: "estimateRows",
      leaf: index,
      percent: fraction * 100,
    });
    samples.set(index, { fraction, rows, bytesPerRow });
  }
  const near = averageRowBytes([...samples.values()]);
  return input.leaves.map((leaf, index) => {
    const own = measures[index];
    assert(own !== undefined);
    const sampled = samples.get(index) ?? null;
    const size = estimateLeaf(own, sampled, near, input.blockBytes);
    return { ...leaf, index, measure: own, size, sampled };
  });
}

function averageRowBytes(samples: readonly RowSample[]): number | null {
  const usable = samples.filter((s) => s.rows > 0 && s.bytesPerRow > 0);
  const rows = usable.reduce((sum, s) => sum + s.rows, 0);
  if (!(rows > 0)) return null;
  return usable.reduce((sum, s) => sum + s.rows * s.bytesPerRow, 0) / rows;
}

function* splitLeaf(
  input: PlanInput,
  leaf: Leaf,
  rung: Rung,
  partitionBytes: number,
): Asking<readonly Split[]> {
  if (isBestByFilter(input, leaf)) return [{ kind: "whole" }];
  const count = countPartitions(
    leaf.size.bytes,
    partitionBytes,
    input.partitionBytesMin,
  );
  const pagesWork = canReadPages(leaf, input.serverVersion);
  if (rung === "keyRanges" && input.key !== null) {
    if (count === 1 && input.partitionBy !== "key") {
      return pagesWork ? splitPages(0, 1) : [{ kind: "whole" }];
    }
    const bounds =
      count === 1 ? [] : yield* findBounds(input, input.key, leaf, count);
    return splitKeys(input.key, bounds);
  }
  if (rung === "pages" && pagesWork) {
    return splitPages(leaf.measure.pages, count);
  }
  return [{ kind: "whole" }];
}

/** Few rows pass the filter, and one read of them is short: the server then finds its own way, by an index if it has one. */
function isBestByFilter(input: PlanInput, leaf: Leaf): boolean {
  const { filteredRows, rowEstimate } = leaf.measure;
  if (filteredRows === null || rowEstimate < 0) return false;
  const seconds = leaf.size.bytes / input.bytesPerSecond;
  return (
    filteredRows < rowEstimate * FILTER_SHARE_MAX &&
    seconds < input.checkpointTargetSeconds
  );
}

function* findBounds(
  input: PlanInput,
  key: KeyInput,
  leaf: Leaf,
  count: number,
): Asking<readonly KeyTuple[]> {
  let bounds: readonly KeyTuple[] = [];
  if (leaf.heap && leaf.measure.pages > 0) {
    const samplePages = KEY_SAMPLE_PAGES + count * KEY_SAMPLE_PAGES_PER_BOUND;
    const { keys } = yield* ask({
      kind: "sampleKeys",
      leaf: leaf.index,
      percent: 100 * Math.min(1, samplePages / leaf.measure.pages),
      keysMax: Math.min(KEY_SAMPLE_KEYS_MAX, count * KEYS_PER_BOUND),
    });
    bounds = cutAtQuantiles(keys, count);
  }
  if (bounds.length === 0 && isOneInteger(key)) {
    const { range } = yield* ask({ kind: "keyRange", leaf: leaf.index });
    if (range !== null && range.min <= range.max) {
      bounds = splitIntegerKeys(range.min, range.max, count).flatMap((split) =>
        split.start === null ? [] : [[String(split.start)]],
      );
    }
  }
  if (bounds.length === 0) return [];
  const asked = bounds;
  const ordered = yield* ask({
    kind: "orderBounds",
    leaf: leaf.index,
    bounds: asked,
  });
  assert(ordered.bounds.length <= asked.length, "no bound is made up");
  return ordered.bounds;
}

const integerTypes: readonly string[] = ["smallint", "integer", "bigint"];

function isOneInteger(key: KeyInput): boolean {
  const [first, ...others] = key.columns;
  return (
    others.length === 0 &&
    first !== undefined &&
    integerTypes.includes(first.type)
  );
}
