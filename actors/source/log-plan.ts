/** The partition of a stream's plan that is its log: one a run, behind those of the snapshot where there is one. */
import type {
  DiscoveredStream,
  StreamPlan,
} from "../../connectors/sources/source.ts";
import type { Partition } from "../../proto/partition.ts";
import type { LogPlan } from "./partitioner.machine.ts";

/** The copy is there: nothing but changes is read. */
export function planLogOnly(
  stream: DiscoveredStream,
  log: LogPlan,
): StreamPlan {
  return {
    plan: {
      stream: stream.schema.number,
      rung: "log",
      reason: "Changes only, from where the last run of the table has ended.",
      partitions: [describeLog(stream, log, 0)],
      estimatedRows: 0,
      estimatedBytes: 0,
    },
    window: null,
  };
}

export function addLog(
  { plan, window }: StreamPlan,
  stream: DiscoveredStream,
  log: LogPlan,
): StreamPlan {
  const ordinal = plan.partitions.length;
  return {
    plan: {
      ...plan,
      partitions: [...plan.partitions, describeLog(stream, log, ordinal)],
    },
    window,
  };
}

function describeLog(
  { schema }: DiscoveredStream,
  { after, snapshot }: LogPlan,
  ordinal: number,
): Partition {
  return {
    stream: schema.number,
    ordinal,
    // of no leaf: the log tells of the table under its own name
    relation: { schema: schema.namespace, name: schema.name, oid: 0 },
    only: false,
    split: { kind: "log", after, snapshot },
    estimatedRows: 0,
    estimatedBytes: 0,
  };
}
