/**
 * What the file destination needs to know. No schema library here: this is loaded where rows are written.
 */
import type { FormatOptions } from "../../formats/format.ts";
import type { PartitionColumn } from "../../formats/partition-rows.ts";

export interface FileDestinationConfig {
  /** Absolute folder; the parts of a path below it are ours to make. */
  readonly root: string;
  /** Folder of one stream below the root, from {namespace} and {stream}; `layout/names.ts` has its rules. */
  readonly pathTemplate: string;
  /** A file that has reached this is closed before the next batch. Bytes of the file, compressed. */
  readonly fileBytesMax: number;
  readonly format: FormatOptions;
  /** Columns whose values become folders within a generation's; none when left out. */
  readonly partitionBy?: readonly PartitionColumn[];
}

export const PATH_TEMPLATE_DEFAULT = "{namespace}/{stream}";
export const FILE_BYTES_MAX_DEFAULT = 512 * 1024 * 1024;
export const FILE_BYTES_MAX_LEAST = 1024 * 1024;
export const FILE_BYTES_MAX_MOST = 64 * 1024 * 1024 * 1024;
