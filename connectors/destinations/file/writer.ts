/**
 * Writes one partition of one stream into files and seals them at its checkpoints. Runs in a worker thread, beside the
 * decoder of the socket.
 */
import assert from "node:assert/strict";
import { join } from "node:path";

import type { CheckpointStamp, SealedFile } from "../../../proto/checkpoint.ts";
import { batchBytes } from "../../../proto/columns.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import type { FileFormat, FormatOptions } from "../../formats/format.ts";
import { createFileFormat } from "../../formats/index.ts";
import type { FileDestinationConfig } from "./config.ts";
import { MARKER_BYTES_MAX, MARKER_KEY, PLACE_KEY } from "./marker.ts";
import type { CheckpointMarker, FileOrigin, MarkedFile } from "./marker.ts";
import {
  fileName,
  generationFolder,
  sidecarName,
  streamFolder,
  temporaryName,
} from "./names.ts";
import { OpenFile } from "./open-file.ts";
import { publishCheckpoint } from "./seal.ts";
import type { FinishedCheckpoint } from "./seal.ts";
import { drawTag, makeFoldersBelow } from "./storage.ts";

/** Full files whose last bytes are on their way to the disk; one more makes the writer wait for the disk. */
const FULL_FILES_SYNCING_MAX = 16;

interface KnownFormat {
  readonly options: FormatOptions;
  readonly format: FileFormat;
}

/** By the very object that describes the stream: one for all partitions that a thread writes. */
const formats = new WeakMap<StreamSchema, KnownFormat>();

/** The stream's format in this thread. Its files share what was learned of each column's best encoding. */
function useFileFormat(
  schema: StreamSchema,
  options: FormatOptions,
): FileFormat {
  const known = formats.get(schema);
  if (known?.options === options) return known.format;
  const format = createFileFormat(schema, options);
  formats.set(schema, { options, format });
  return format;
}

export interface PartitionWriterOptions {
  readonly config: FileDestinationConfig;
  readonly schema: StreamSchema;
  readonly generation: number;
  readonly epoch: number;
  readonly runId: string;
  readonly partition: number;
  readonly planVersion: number;
}

export class PartitionWriter {
  readonly #options: PartitionWriterOptions;
  readonly #format: FileFormat;
  readonly #origin: FileOrigin;
  /** Relative to the root. */
  readonly #folder: string;
  readonly #tag = drawTag();
  /** Files of the checkpoint to come, in order; the last one takes the next batch. */
  #files: OpenFile[] = [];
  #filesBegun = 0;
  #fullFilesSyncing = 0;
  #rows = 0;
  #bytes = 0;
  /** Seals go one behind the other: a checkpoint never counts before an earlier one of its partition. */
  #lastSeal: Promise<unknown> = Promise.resolve();
  #failure: Error | null = null;
  #sealFailure: Error | null = null;
  #folderMade = false;
  #foldersSynced = false;
  #abandoned = false;

  constructor(options: PartitionWriterOptions) {
    const { config, schema, generation, runId, epoch, planVersion } = options;
    this.#options = options;
    this.#format = useFileFormat(schema, config.format);
    const stream = { namespace: schema.namespace, name: schema.name };
    this.#origin = {
      run: runId,
      stream,
      fingerprint: schema.fingerprint,
      generation,
      epoch,
      planVersion,
    };
    this.#folder = `${streamFolder(config.pathTemplate, stream)}/${generationFolder(generation)}`;
  }

  /** Rows taken since the last checkpoint was sealed, or since `discard`. */
  get unsealedRows(): number {
    return this.#rows;
  }

  /** Bytes of their column buffers, as the source counts them (`batchBytes`). */
  get unsealedBytes(): number {
    return this.#bytes;
  }

  /**
   * Encodes and writes the batch; nothing of it is kept. May be called while a seal is under way.
   * @throws ExtractError DESTINATION_FULL, DESTINATION_UNWRITABLE, DESTINATION_FAILED; after one, only `discard` and
   * `abandon` are of use
   */
  write(batch: ColumnBatch): void {
    this.#throwIfUnusable();
    assert(batch.rowCount > 0, "an empty batch");
    try {
      this.#openFile().append(batch);
    } catch (error) {
      this.#failure = error as Error;
      throw error;
    }
    this.#rows += batch.rowCount;
    this.#bytes += batchBytes(batch);
  }

  /**
   * Closes the files of this checkpoint and makes them durable under their final names; when the promise resolves, so
   * are the names. The files are taken over at the call: batches of the next checkpoint may follow at once. A
   * checkpoint without rows leaves no file.
   * @throws ExtractError CHANNEL_CORRUPT when the rows differ from the stamp's, else as `write`
   */
  async seal(stamp: CheckpointStamp): Promise<SealedFile[]> {
    let checkpoint: FinishedCheckpoint;
    try {
      this.#throwIfUnusable();
      checkpoint = this.#finishFiles(stamp);
    } catch (error) {
      this.#failure ??= error as Error;
      throw error;
    }
    const sealed = this.#lastSeal.then(() => this.#publish(checkpoint));
    this.#lastSeal = sealed.catch((error: Error) => {
      this.#sealFailure ??= error;
      this.#failure ??= error;
    });
    return sealed;
  }

  /** Drops what is not sealed, when seals under way have ended. The writer can then be used again. */
  async discard(): Promise<void> {
    const files = this.#files;
    this.#files = [];
    await this.#lastSeal;
    this.#rows = 0;
    this.#bytes = 0;
    for (const file of files) await file.drop();
    this.#failure = null;
    this.#sealFailure = null;
  }

  /**
   * Closes all files as they are: nothing gets a final name any more. For a process that is told to end; the
   * temporaries are left to the next attempt's clean-up.
   */
  abandon(): void {
    this.#abandoned = true;
    for (const file of this.#files) file.release();
    this.#files = [];
  }

  #throwIfUnusable(): void {
    assert(!this.#abandoned, "the writer is abandoned");
    if (this.#failure) throw this.#failure;
  }

  /** The file for the next batch. A full one is closed here and not sooner: the last file has to wait for its marker. */
  #openFile(): OpenFile {
    const current = this.#files.at(-1);
    const isFull =
      current !== undefined &&
      current.rows > 0 &&
      current.bytesSoFar >= this.#options.config.fileBytesMax;
    if (current && !isFull) return current;
    if (current) this.#closeFull(current);
    const { root } = this.#options.config;
    if (!this.#folderMade) makeFoldersBelow(root, this.#folder);
    this.#folderMade = true;
    const file = new OpenFile(
      join(root, this.#folder, this.#nameTemporary()),
      this.#format.createEncoder(),
    );
    this.#files.push(file);
    return file;
  }

  #nameTemporary(): string {
    const { partition, epoch } = this.#options;
    const number = this.#filesBegun++;
    return temporaryName({ partition, epoch, tag: this.#tag, number });
  }

  #closeFull(file: OpenFile): void {
    file.finish(this.#describePlace(this.#files.length - 1));
    if (this.#fullFilesSyncing >= FULL_FILES_SYNCING_MAX) {
      file.makeDurableNow();
      return;
    }
    this.#fullFilesSyncing += 1;
    const done = (): void => {
      this.#fullFilesSyncing -= 1;
    };
    file.makeDurable().then(done, done);
  }

  #finishFiles(stamp: CheckpointStamp): FinishedCheckpoint {
    const { partition, epoch, schema } = this.#options;
    assert.equal(stamp.stream, schema.number);
    assert.equal(stamp.partition, partition);
    assert(stamp.index >= 1, "checkpoint indexes count from 1");
    this.#checkRows(stamp);
    const files = this.#files;
    const last = files.at(-1);
    if (!last) return { files: [], names: [], sidecar: null };
    const names = files.map((_, number) =>
      fileName(
        { partition, epoch, checkpoint: stamp.index, number },
        this.#format.extension,
      ),
    );
    const place = this.#describePlace(files.length - 1);
    let sidecar: FinishedCheckpoint["sidecar"] = null;
    if (this.#format.storesMetadata) {
      const marker = this.#describeMarker(stamp, names, null);
      last.finish({ ...place, [MARKER_KEY]: marker });
    } else {
      last.finish(place);
      sidecar = {
        temporary: this.#nameTemporary(),
        name: sidecarName(names.at(-1) ?? ""),
        text: this.#describeMarker(stamp, names, last.bytes),
      };
    }
    for (const file of files) void file.makeDurable();
    this.#files = [];
    this.#rows = 0;
    this.#bytes = 0;
    return { files, names, sidecar };
  }

  #checkRows(stamp: CheckpointStamp): void {
    if (stamp.rows === this.#rows) return;
    const { schema, partition } = this.#options;
    throw new ExtractError(
      "CHANNEL_CORRUPT",
      `${schema.namespace}.${schema.name}/${partition}: the source stamped ${stamp.rows} rows, ${this.#rows} arrived`,
      {
        stream: `${schema.namespace}.${schema.name}`,
        partition,
        index: stamp.index,
        rowsStamped: stamp.rows,
        rowsWritten: this.#rows,
      },
    );
  }

  #describePlace(number: number): Record<string, string> {
    const { partition } = this.#options;
    const place = { ...this.#origin, partition, number };
    return { [PLACE_KEY]: JSON.stringify(place) };
  }

  #describeMarker(
    stamp: CheckpointStamp,
    names: readonly string[],
    bytesOfLast: number | null,
  ): string {
    const files: MarkedFile[] = names.map((name, number) => ({
      name,
      rows: this.#files[number]?.rows ?? 0,
      bytes:
        number === names.length - 1
          ? bytesOfLast
          : (this.#files[number]?.bytes ?? 0),
    }));
    const marker: CheckpointMarker = { ...this.#origin, stamp, files };
    const text = JSON.stringify(marker);
    if (Buffer.byteLength(text) > MARKER_BYTES_MAX) {
      throw new ExtractError(
        "DESTINATION_FAILED",
        `the marker of ${names.length} files is too long: raise fileBytesMax or checkpoint more often`,
        { path: this.#folder, files: names.length },
      );
    }
    return text;
  }

  async #publish(checkpoint: FinishedCheckpoint): Promise<SealedFile[]> {
    const { root } = this.#options.config;
    const files = await publishCheckpoint(checkpoint, {
      root,
      folder: this.#folder,
      syncUpTo: this.#foldersSynced ? join(root, this.#folder) : root,
      // a later checkpoint of a partition whose earlier one failed must not count
      findObstacle: () => this.#sealFailure ?? this.#describeAbandonment(),
      isAbandoned: () => this.#abandoned,
    });
    if (files.length > 0) this.#foldersSynced = true;
    return files;
  }

  #describeAbandonment(): Error | null {
    if (!this.#abandoned) return null;
    return new ExtractError(
      "DESTINATION_FAILED",
      `the checkpoint was abandoned before it was durable: ${this.#folder}`,
      { path: this.#folder, partition: this.#options.partition },
    );
  }
}
