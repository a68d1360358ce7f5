import type { Partition, Plan } from "../proto/partition.ts";

/** Open on exactly one side: where rows outside of the sampled bounds end up, so its size is the least certain. */
function isEdge({ split }: Partition): boolean {
  if (split.kind === "key")
    return (split.start === null) !== (split.end === null);
  return (
    split.kind === "pages" &&
    (split.startPage === 0) !== (split.endPage === null)
  );
}

/**
 * The one queue that all readers take from: the largest stream first, so that no large one is left for the end; in a
 * stream the edges first, because their size is the least certain; then the largest; then the order of the plan.
 */
export function orderQueue(plans: readonly Plan[]): Partition[] {
  return [...plans]
    .sort((a, b) => b.estimatedBytes - a.estimatedBytes || a.stream - b.stream)
    .flatMap((plan) =>
      [...plan.partitions].sort(
        (a, b) =>
          Number(isEdge(b)) - Number(isEdge(a)) ||
          b.estimatedBytes - a.estimatedBytes ||
          a.ordinal - b.ordinal,
      ),
    );
}
