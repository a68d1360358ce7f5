/**
 * How many channels join a snapshot that can be joined only at its start. Each is a thread and a connection, and a small
 * run would spend more on them than on its rows. Pure.
 */
import type { DiscoveredStream } from "../../connectors/sources/source.ts";
import type { SourceSettings } from "../../proto/control.ts";

/** A page of the servers that are joined at the start is no larger (InnoDB: 16 KiB unless told otherwise; SQL Server: 8). */
const PAGE_BYTES = 16_384;
/** A row takes no less: pages that would hold less of each were counted when there were fewer rows. */
const ROW_BYTES_MIN = 18;
/** What a table costs besides its rows (plan, query, checkpoint), as bytes that are read in that time. */
const TABLE_BYTES = 1024 * 1024;
/** The governor begins with one reader, which has read so many of the smallest partitions before a second is tried. */
const PARTITIONS_PER_TRY = 2;

type Wanted = Pick<
  SourceSettings,
  "channelsMax" | "readers" | "partitionBytesMin"
>;

/** At least one, and all that are allowed where a table's size is not known; none where none is allowed. */
export function countChannels(
  streams: readonly Pick<DiscoveredStream, "relationKind" | "leaves">[],
  { channelsMax, readers, partitionBytesMin }: Wanted,
): number {
  let total = 0;
  for (const stream of streams) {
    const bytes = estimateBytes(stream);
    if (bytes === null) return channelsMax;
    total += TABLE_BYTES + bytes;
  }
  const perChannel =
    readers === null
      ? PARTITIONS_PER_TRY * partitionBytesMin
      : partitionBytesMin;
  return Math.min(channelsMax, 1 + Math.floor(total / perChannel));
}

/** By the server's statistics; null where there are none, or where they cannot be true any more. */
function estimateBytes({
  relationKind,
  leaves,
}: Pick<DiscoveredStream, "relationKind" | "leaves">): number | null {
  // whatever its size, one reader reads it: it has no key
  if (relationKind === "view") return 0;
  let bytes = 0;
  for (const { pages, rowEstimate } of leaves) {
    const stored = pages * PAGE_BYTES;
    if (rowEstimate < 0 || stored < rowEstimate * ROW_BYTES_MIN) return null;
    bytes += stored;
  }
  return bytes;
}
