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
/**
 * Of the tables, for each reader that the n-th channel finds at work: n channels want n × (n − 1) times as much. A channel
 * costs 0.2 to 0.35 s of CPU to open. The governor begins with one reader, tries another after 0.75 s and so on, and a
 * reader moves about 100 MiB a second: before the n-th has begun, most of a smaller table has been read by the others.
 */
const CHANNEL_BYTES = 64 * 1024 * 1024;
/**
 * So much more of the rows where the server is on this machine: it takes from the processors what another reader would
 * need. On two cores 434 MiB of MariaDB took 6.1 s of CPU by way of four channels, of which one read, and 5.2 s with one.
 */
const LOCAL_FACTOR = 8;

type Wanted = Pick<
  SourceSettings,
  "channelsMax" | "readers" | "partitionBytesMin" | "url"
>;

/** At least one, and all that are allowed where a table's size is not known; none where none is allowed. */
export function countChannels(
  streams: readonly Pick<DiscoveredStream, "relationKind" | "leaves">[],
  { channelsMax, readers, partitionBytesMin, url }: Wanted,
): number {
  let rowBytes = 0;
  for (const stream of streams) {
    const bytes = estimateBytes(stream);
    if (bytes === null) return channelsMax;
    rowBytes += bytes;
  }
  const tableBytes = streams.length * TABLE_BYTES;
  // each needs a partition of its own
  const parts = 1 + Math.floor((tableBytes + rowBytes) / partitionBytesMin);
  if (readers !== null) return Math.min(channelsMax, parts);
  const factor = isOnThisMachine(url) ? LOCAL_FACTOR : 1;
  const units = (tableBytes + rowBytes / factor) / CHANNEL_BYTES;
  // the largest n with n × (n − 1) ≤ units
  const worthwhile = Math.floor((1 + Math.sqrt(1 + 4 * units)) / 2);
  return Math.min(channelsMax, parts, worthwhile);
}

/** A tunnel's end looks the same: large tables are read by several channels there too. */
function isOnThisMachine(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { hostname, searchParams } = new URL(url);
  return (
    /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(hostname) ||
    searchParams.has("socket")
  );
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
