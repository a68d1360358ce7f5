/**
 * Writes one partition of one stream into files and seals them at its checkpoints. Runs in a worker thread, beside the
 * decoder of the socket.
 */
import assert from "node:assert/strict";
import { join } from "node:path";

import type { CheckpointStamp, SealedFile } from "../../../proto/checkpoint.ts";
import { batchBytes } from "../../../proto/columns.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";
import type { FileFormat } from "../../formats/format.ts";
import {
  PARTITION_VALUES_MAX,
  refuseManyValues,
  RowPartitioner,
} from "../../formats/partition-rows.ts";
import { MARKER_KEY } from "../layout/marker.ts";
import { fileName, sidecarName, temporaryName } from "../layout/names.ts";
import { PartitionFiles, useFileFormat } from "../layout/partition-files.ts";
import type { PartitionOrigin } from "../layout/partition-files.ts";
import type { FileDestinationConfig } from "./config.ts";
import { OpenFile } from "./open-file.ts";
import { publishCheckpoint } from "./seal.ts";
import type { FinishedCheckpoint } from "./seal.ts";
import { drawTag, makeFoldersBelow } from "./storage.ts";

/** Full files whose last bytes are on their way to the disk; one more makes the writer wait for the disk. */
const FULL_FILES_SYNCING_MAX = 16;

export interface PartitionWriterOptions extends PartitionOrigin {
  readonly config: FileDestinationConfig;
}

export class PartitionWriter {
  readonly #options: PartitionWriterOptions;
  readonly #format: FileFormat;
  readonly #described: PartitionFiles;
  readonly #partitioner: RowPartitioner | null;
  readonly #tag = drawTag();
  /** Files of the checkpoint to come, in order. */
  #files: OpenFile[] = [];
  /** Of each file, its folder within the generation's, with a slash behind it; empty where rows are not partitioned. */
  #folders: string[] = [];
  /** By folder, the number of the file that takes the next rows. The last of all files is always one of these. */
  readonly #openNumbers = new Map<string, number>();
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
    const { config, schema } = options;
    this.#options = options;
    this.#format = useFileFormat(schema, config.format);
    this.#described = new PartitionFiles(options, config.pathTemplate);
    const { partitionBy = [] } = config;
    this.#partitioner =
      partitionBy.length > 0 ? new RowPartitioner(schema, partitionBy) : null;
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
   * @throws ExtractError DESTINATION_FULL, DESTINATION_UNWRITABLE, DESTINATION_FAILED, USAGE for a column with too many
   * values to partition by; after one, only `discard` and `abandon` are of use
   */
  write(batch: ColumnBatch): void {
    this.#throwIfUnusable();
    assert(batch.rowCount > 0, "an empty batch");
    try {
      if (this.#partitioner === null) this.#openFile("").append(batch);
      else
        for (const part of this.#partitioner.split(batch))
          this.#openFile(`${part.folder}/`).append(part.batch);
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
    const files = this.#forgetFiles();
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
    for (const file of this.#forgetFiles()) file.release();
  }

  #throwIfUnusable(): void {
    assert(!this.#abandoned, "the writer is abandoned");
    if (this.#failure) throw this.#failure;
  }

  #forgetFiles(): readonly OpenFile[] {
    const files = this.#files;
    this.#files = [];
    this.#folders = [];
    this.#openNumbers.clear();
    return files;
  }

  /**
   * The file for the next rows of a folder. A full one is closed here and not sooner: the last file has to wait for its
   * marker.
   */
  #openFile(folder: string): OpenFile {
    const number = this.#openNumbers.get(folder) ?? -1;
    const current = this.#files[number];
    const isFull =
      current !== undefined &&
      current.rows > 0 &&
      current.bytesSoFar >= this.#options.config.fileBytesMax;
    if (current && !isFull) return current;
    if (current) this.#closeFull(current, number);
    const { root, partitionBy = [] } = this.#options.config;
    if (!current && this.#openNumbers.size === PARTITION_VALUES_MAX)
      throw refuseManyValues(partitionBy.map(({ column }) => column).join());
    if (!this.#folderMade) makeFoldersBelow(root, this.#described.folder);
    this.#folderMade = true;
    const file = new OpenFile(
      join(root, this.#described.folder, this.#nameTemporary()),
      this.#format.createEncoder(),
    );
    this.#openNumbers.set(folder, this.#files.length);
    this.#files.push(file);
    this.#folders.push(folder);
    return file;
  }

  #nameTemporary(): string {
    const { partition, epoch } = this.#options;
    const number = this.#filesBegun++;
    return temporaryName({ partition, epoch, tag: this.#tag, number });
  }

  #closeFull(file: OpenFile, number: number): void {
    file.finish(this.#described.describePlace(number));
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
    const { partition, epoch } = this.#options;
    this.#described.checkStamp(stamp, this.#rows);
    const files = this.#files;
    const last = files.at(-1);
    if (!last) return { files: [], names: [], sidecar: null };
    const names = files.map((_, number) => {
      const place = { partition, epoch, checkpoint: stamp.index, number };
      const name = fileName(place, this.#format.extension);
      return `${this.#folders[number] ?? ""}${name}`;
    });
    for (const number of this.#openNumbers.values())
      if (number < files.length - 1)
        files[number]?.finish(this.#described.describePlace(number));
    const place = this.#described.describePlace(files.length - 1);
    let sidecar: FinishedCheckpoint["sidecar"] = null;
    if (this.#format.storesMetadata) {
      const marker = this.#describeMarker(stamp, names, null);
      last.finish({ ...place, [MARKER_KEY]: marker });
    } else {
      last.finish(place);
      sidecar = {
        temporary: this.#nameTemporary(),
        name: placeSidecar(names.at(-1) ?? ""),
        text: this.#describeMarker(stamp, names, last.bytes),
      };
    }
    for (const file of files) void file.makeDurable();
    this.#forgetFiles();
    this.#rows = 0;
    this.#bytes = 0;
    return { files, names, sidecar };
  }

  #describeMarker(
    stamp: CheckpointStamp,
    names: readonly string[],
    bytesOfLast: number | null,
  ): string {
    const counts = this.#files.map(({ rows, bytes }, number) => ({
      rows,
      bytes: number === names.length - 1 ? bytesOfLast : bytes,
    }));
    return this.#described.describeMarker(stamp, names, counts);
  }

  async #publish(checkpoint: FinishedCheckpoint): Promise<SealedFile[]> {
    const { root } = this.#options.config;
    const { folder } = this.#described;
    const files = await publishCheckpoint(checkpoint, {
      root,
      folder,
      syncUpTo: this.#foldersSynced ? join(root, folder) : root,
      // a later checkpoint of a partition whose earlier one failed must not count
      findObstacle: () =>
        this.#sealFailure ??
        (this.#abandoned ? this.#described.describeAbandonment() : null),
      isAbandoned: () => this.#abandoned,
    });
    if (files.length > 0) this.#foldersSynced = true;
    return files;
  }
}

/** The sidecar lies beside the data file. */
function placeSidecar(dataPath: string): string {
  const at = dataPath.lastIndexOf("/") + 1;
  return `${dataPath.slice(0, at)}${sidecarName(dataPath.slice(at))}`;
}
