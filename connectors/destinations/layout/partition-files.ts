/**
 * What the files of one partition say of themselves, and what is checked before they are sealed.
 */
import assert from "node:assert/strict";

import type { CheckpointStamp } from "../../../proto/checkpoint.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import type { FileFormat, FormatOptions } from "../../formats/format.ts";
import { createFileFormat } from "../../formats/index.ts";
import { MARKER_BYTES_MAX, PLACE_KEY } from "./marker.ts";
import type { CheckpointMarker, FileOrigin, MarkedFile } from "./marker.ts";
import { generationPath } from "./names.ts";

/**
 * Files of one checkpoint: each has its place in the marker, and all of them are published together. Where each of its
 * batches has rows for thousands of folders, a checkpoint comes to so many.
 */
export const CHECKPOINT_FILES_MAX = 20_000;

interface KnownFormat {
  readonly options: FormatOptions;
  readonly format: FileFormat;
}

/** By the very object that describes the stream: one for all partitions that a thread writes. */
const formats = new WeakMap<StreamSchema, KnownFormat>();

/** The stream's format in this thread. Its files share what was learned of each column's best encoding. */
export function useFileFormat(
  schema: StreamSchema,
  options: FormatOptions,
): FileFormat {
  const known = formats.get(schema);
  if (known?.options === options) return known.format;
  const format = createFileFormat(schema, options);
  formats.set(schema, { options, format });
  return format;
}

export interface PartitionOrigin {
  readonly schema: StreamSchema;
  readonly generation: number;
  readonly epoch: number;
  readonly runId: string;
  readonly partition: number;
  readonly planVersion: number;
}

/** One file as its marker lists it. */
export interface FileCount {
  readonly rows: number;
  /** Null for the file that is to hold the marker. */
  readonly bytes: number | null;
}

export class PartitionFiles {
  /** The generation's, relative to the root. */
  readonly folder: string;
  readonly #of: PartitionOrigin;
  readonly #origin: FileOrigin;

  constructor(of: PartitionOrigin, pathTemplate: string) {
    const { schema, generation, runId, epoch, planVersion } = of;
    const stream = { namespace: schema.namespace, name: schema.name };
    this.#of = of;
    this.#origin = {
      run: runId,
      stream,
      fingerprint: schema.fingerprint,
      generation,
      epoch,
      planVersion,
    };
    this.folder = generationPath(pathTemplate, stream, generation);
  }

  /** @throws ExtractError CHANNEL_CORRUPT when the rows that arrived are not those stamped */
  checkStamp(stamp: CheckpointStamp, rows: number): void {
    const { schema, partition } = this.#of;
    assert.equal(stamp.stream, schema.number);
    assert.equal(stamp.partition, partition);
    assert(stamp.index >= 1, "checkpoint indexes count from 1");
    if (stamp.rows === rows) return;
    throw new ExtractError(
      "CHANNEL_CORRUPT",
      `${schema.namespace}.${schema.name}/${partition}: the source stamped ${stamp.rows} rows, ${rows} arrived`,
      {
        stream: `${schema.namespace}.${schema.name}`,
        partition,
        index: stamp.index,
        rowsStamped: stamp.rows,
        rowsWritten: rows,
      },
    );
  }

  /**
   * To be called before a file is begun.
   * @throws ExtractError USAGE where its checkpoint has as many as it may
   */
  checkCount(files: number): void {
    if (files < CHECKPOINT_FILES_MAX) return;
    throw new ExtractError(
      "USAGE",
      `${this.folder} has ${files} files since the last checkpoint: part the rows by fewer values, or by a longer unit of time, or checkpoint more often`,
      { path: this.folder, files },
    );
  }

  /** Metadata of the file with this number within its checkpoint. */
  describePlace(number: number): Record<string, string> {
    const place = { ...this.#origin, partition: this.#of.partition, number };
    return { [PLACE_KEY]: JSON.stringify(place) };
  }

  /**
   * The marker's text.
   * @throws ExtractError DESTINATION_FAILED for one that could not be read again
   */
  describeMarker(
    stamp: CheckpointStamp,
    names: readonly string[],
    counts: readonly FileCount[],
  ): string {
    assert.equal(names.length, counts.length);
    const files = names.map((name, number): MarkedFile => {
      const { rows = 0, bytes = 0 } = counts[number] ?? {};
      return { name, rows, bytes };
    });
    const marker: CheckpointMarker = { ...this.#origin, stamp, files };
    const text = JSON.stringify(marker);
    if (Buffer.byteLength(text) > MARKER_BYTES_MAX) {
      throw new ExtractError(
        "DESTINATION_FAILED",
        `the marker of ${names.length} files is too long: raise fileBytesMax, part the rows by fewer values, or checkpoint more often`,
        { path: this.folder, files: names.length },
      );
    }
    return text;
  }

  /** What a seal ends with that was under way when the process was told to end. */
  describeAbandonment(): ExtractError {
    return new ExtractError(
      "DESTINATION_FAILED",
      `the checkpoint was abandoned before it was durable: ${this.folder}`,
      { path: this.folder, partition: this.#of.partition },
    );
  }
}
