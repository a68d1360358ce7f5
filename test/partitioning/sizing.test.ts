import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  choosePartitionBytes,
  countPartitions,
  estimateLeaf,
  PARTITION_BYTES_MIN,
  PARTITIONS_PER_CHANNEL,
  PARTITIONS_PER_LEAF_MAX,
} from "../../partitioning/sizing.ts";

const MIB = 1024 * 1024;
const measure = (changes = {}) => ({
  pages: 1_000,
  toastBytes: 0,
  rowEstimate: 50_000,
  filteredRows: null,
  ...changes,
});

describe("the size of a leaf", () => {
  test.for([
    {
      name: "sampled row size times row estimate",
      measured: measure(),
      sample: { fraction: 0.1, rows: 4_000, bytesPerRow: 100 },
      expected: { rows: 50_000, bytes: 5_000_000 },
    },
    {
      name: "never analysed: the sample's density times the pages",
      measured: measure({ rowEstimate: -1 }),
      sample: { fraction: 0.1, rows: 4_000, bytesPerRow: 100 },
      expected: { rows: 40_000, bytes: 4_000_000 },
    },
    {
      name: "a sample of all pages wins over statistics",
      measured: measure(),
      sample: { fraction: 1, rows: 10, bytesPerRow: 100 },
      expected: { rows: 10, bytes: 1_000 },
    },
    {
      name: "no sample: what is stored, out-of-line values included",
      measured: measure({ toastBytes: 1_000 }),
      sample: null,
      expected: { rows: 50_000, bytes: 8_193_000 },
    },
    {
      name: "a sample that met no row leaves the stored size",
      measured: measure(),
      sample: { fraction: 0.1, rows: 0, bytesPerRow: 0 },
      expected: { rows: 50_000, bytes: 8_192_000 },
    },
    {
      name: "an empty table",
      measured: measure({ pages: 0, rowEstimate: 0 }),
      sample: null,
      expected: { rows: 0, bytes: 0 },
    },
    {
      name: "a filter takes its share",
      measured: measure({ filteredRows: 5_000 }),
      sample: { fraction: 0.1, rows: 4_000, bytesPerRow: 100 },
      expected: { rows: 5_000, bytes: 500_000 },
    },
  ])("$name", ({ measured, sample, expected }) => {
    expect(estimateLeaf(measured, sample, null, 8_192)).toEqual(expected);
  });

  test("an unsampled leaf takes the row size of its siblings", () => {
    expect(estimateLeaf(measure(), null, 200, 8_192).bytes).toBe(10_000_000);
    expect(
      estimateLeaf(measure({ rowEstimate: -1 }), null, 81.92, 8_192).rows,
    ).toBe(100_000);
  });

  test("numbers that no server has do not add up to infinity", () => {
    const wild = measure({ toastBytes: 1.7e308, rowEstimate: -1 });
    const { rows, bytes } = estimateLeaf(wild, null, null, 8_192);
    expect(rows).toBeLessThanOrEqual(2 ** 62);
    expect(bytes).toBeLessThanOrEqual(2 ** 62);
    expect(bytes).toBeGreaterThan(1e18);
  });
});

describe("the size of a partition", () => {
  const pace = {
    channels: 4,
    checkpointTargetSeconds: 300,
    bytesPerSecond: 100_000_000,
    partitionBytesMin: PARTITION_BYTES_MIN,
  };
  test("a very large table: what one reader reads between two checkpoints", () => {
    expect(choosePartitionBytes(1e13, pace)).toBe(3e10);
  });
  test("a large table keeps every channel busy", () => {
    const bytes = 10 * 1024 * MIB;
    const each = choosePartitionBytes(bytes, pace);
    expect(bytes / each).toBeCloseTo(4 * PARTITIONS_PER_CHANNEL);
  });
  test("a small table is not cut into crumbs", () => {
    const count = (bytes: number) =>
      countPartitions(bytes, PARTITION_BYTES_MIN, PARTITION_BYTES_MIN);
    expect(choosePartitionBytes(40 * MIB, pace)).toBe(PARTITION_BYTES_MIN);
    expect(count(40 * MIB)).toBe(1);
    expect(count(63 * MIB)).toBe(1);
    expect(count(64 * MIB)).toBe(2);
  });
  test("between one and the maximum, and none below the minimum size", () =>
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1e16, noNaN: true }),
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 1, max: 3_600 }),
        (bytes, channels, checkpointTargetSeconds) => {
          const each = choosePartitionBytes(bytes, {
            ...pace,
            channels,
            checkpointTargetSeconds,
          });
          const count = countPartitions(bytes, each, PARTITION_BYTES_MIN);
          expect(count).toBeGreaterThanOrEqual(1);
          expect(count).toBeLessThanOrEqual(PARTITIONS_PER_LEAF_MAX);
          if (count > 1)
            expect(bytes / count).toBeGreaterThanOrEqual(PARTITION_BYTES_MIN);
        },
      ),
    ));
});
