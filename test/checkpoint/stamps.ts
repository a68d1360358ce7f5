/** Checkpoints for tests: well-formed unless told otherwise. */
import type { CheckpointStamp, DurableReport } from "../../proto/checkpoint.ts";
import type { Partition, Split } from "../../proto/partition.ts";

export function makeStamp(
  stamp: Partial<CheckpointStamp> & { readonly index: number },
): CheckpointStamp {
  return {
    stream: 1,
    partition: 0,
    attempt: 1,
    sequence: stamp.index,
    position: stamp.last ? null : { kind: "key", after: [`${stamp.index}`] },
    rows: 10,
    bytes: 100,
    last: false,
    ...stamp,
  };
}

export function makeReport(
  report: Partial<DurableReport> & { readonly index: number },
): DurableReport {
  const { epoch = 1, ...rest } = report;
  const stamp = makeStamp(rest);
  const path = `g1/e${epoch}-p${stamp.partition}-a${stamp.attempt}-${stamp.sequence}.parquet`;
  const files =
    stamp.rows > 0 ? [{ path, rows: stamp.rows, bytes: stamp.bytes }] : [];
  return { files, ...stamp, epoch };
}

export function keySplit(
  start: string | null = null,
  end: string | null = null,
): Split {
  return {
    kind: "key",
    columns: ["id"],
    types: ["bigint"],
    start: start === null ? null : [start],
    end: end === null ? null : [end],
  };
}

export function makePartition(
  ordinal: number,
  split: Split = keySplit(),
  stream = 1,
): Partition {
  return {
    stream,
    ordinal,
    relation: { schema: "public", name: `t${stream}`, oid: 16_384 + stream },
    only: true,
    split,
    estimatedRows: 100,
    estimatedBytes: 10_000,
  };
}
