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
  RowPartitioner,
  type RowPart,
} from "../../formats/partition-rows.ts";
import { MARKER_KEY } from "../layout/marker.ts";
import { fileName, sidecarName, temporaryName } from "../layout/names.ts";
import { OpenFolders } from "../layout/open-folders.ts";
import { PartitionFiles, useFileFormat } from "../layout/partition-files.ts";
import type { PartitionOrigin } from "../layout/partition-files.ts";
import type { FileDestinationConfig } from "./config.ts";
import { OpenFile } from "./open-file.ts";
import { publishCheckpoint } from "./seal.ts";
import type { FinishedCheckpoint } from "./seal.ts";
import { drawTag, makeFoldersBelow } from "./storage.ts";

/** Closed files whose last bytes are on their way to the disk; one more makes the writer wait for the disk. */
const CLOSED_FILES_SYNCING_MAX = 16;
/** Folders by value that a partition has files open in. */
const OPEN_FILES_MAX = PARTITION_VALUES_MAX;
/** What these may hold in their encoders. */
const OPEN_BYTES_MAX = 256 * 1024 * 1024;

/** A file that takes more rows, and its number within the checkpoint. */
interface Opened {
  readonly file: OpenFile;
  readonly number: number;
}

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
  /** Those that take more rows. The last of all files is always one of these. */
  readonly #open = new OpenFolders<Opened>();
  #last: Opened | null = null;
  #filesBegun = 0;
  /** Of files that are closed before their checkpoint. None of them rejects: a fault is met by the seal. */
  readonly #syncing = new Set<Promise<void>>();
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
   * Encodes and writes the batch; nothing of it is kept. A promise waits for the disk, where more files were closed than
   * it takes. May be called while a seal is under way.
   * @throws ExtractError DESTINATION_FULL, DESTINATION_UNWRITABLE, DESTINATION_FAILED, USAGE for a column with too many
   * values to partition by; after one, only `discard` and `abandon` are of use
   */
  write(batch: ColumnBatch): void | Promise<void> {
    this.#throwIfUnusable();
    assert(batch.rowCount > 0, "an empty batch");
    this.#rows += batch.rowCount;
    this.#bytes += batchBytes(batch);
    try {
      if (this.#partitioner === null) {
        this.#append("", batch);
        return this.#isBehind ? this.#waitForDisk() : undefined;
      }
      const parts = this.#partitioner.split(batch);
      for (let next = parts.next(); !next.done; next = parts.next()) {
        this.#appendPart(next.value);
        if (this.#isBehind) return this.#appendRest(parts);
      }
    } catch (error) {
      this.#failure = error as Error;
      throw error;
    }
  }

  async #appendRest(parts: Iterable<RowPart>): Promise<void> {
    try {
      await this.#waitForDisk();
      for (const part of parts) {
        this.#appendPart(part);
        if (this.#isBehind) await this.#waitForDisk();
      }
    } catch (error) {
      this.#failure ??= error as Error;
      throw error;
    }
  }

  #appendPart({ folder, batch }: RowPart): void {
    this.#append(`${folder}/`, batch);
    this.#closeSurplus();
  }

  #append(folder: string, batch: ColumnBatch): void {
    const opened = this.#openFile(folder);
    opened.file.append(batch);
    this.#open.put(folder, opened, opened.file.heldBytes);
  }

  get #isBehind(): boolean {
    return this.#syncing.size >= CLOSED_FILES_SYNCING_MAX;
  }

  /** Others have the thread meanwhile: whoever waits for this writer hears that it is alive. */
  async #waitForDisk(): Promise<void> {
    while (this.#isBehind) await Promise.race(this.#syncing);
    if (this.#abandoned) throw this.#described.describeAbandonment();
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
    this.#open.clear();
    this.#last = null;
    return files;
  }

  /**
   * The file for the next rows of a folder. A full one is closed here and not sooner: the last file has to wait for its
   * marker.
   */
  #openFile(folder: string): Opened {
    const current = this.#open.find(folder);
    const isFull =
      current !== null &&
      current.file.rows > 0 &&
      current.file.bytesSoFar >= this.#options.config.fileBytesMax;
    if (current && !isFull) return current;
    this.#described.checkCount(this.#files.length);
    if (current) this.#close(folder, current);
    const { root } = this.#options.config;
    if (!this.#folderMade) makeFoldersBelow(root, this.#described.folder);
    this.#folderMade = true;
    const file = new OpenFile(
      join(root, this.#described.folder, this.#nameTemporary()),
      this.#format.createEncoder(),
    );
    const opened = { file, number: this.#files.length };
    this.#last = opened;
    this.#files.push(file);
    this.#folders.push(folder);
    return opened;
  }

  #nameTemporary(): string {
    const { partition, epoch } = this.#options;
    const number = this.#filesBegun++;
    return temporaryName({ partition, epoch, tag: this.#tag, number });
  }

  /** Files of other folders make room for those of new ones. What the last one holds is bounded by its encoder. */
  #closeSurplus(): void {
    const open = this.#open;
    const last = this.#last;
    assert(last, "a file is open");
    while (open.size > OPEN_FILES_MAX || open.heldBytes > OPEN_BYTES_MAX) {
      const folder =
        open.size > OPEN_FILES_MAX
          ? open.findOldest(last)
          : open.findLargest(last);
      const opened = folder === null ? null : open.find(folder);
      if (folder === null || opened === null) return;
      this.#close(folder, opened);
    }
  }

  #close(folder: string, { file, number }: Opened): void {
    this.#open.remove(folder);
    file.finish(this.#described.describePlace(number));
    const durable: Promise<void> = file.makeDurable().then(
      () => void this.#syncing.delete(durable),
      () => void this.#syncing.delete(durable),
    );
    this.#syncing.add(durable);
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
    for (const { file, number } of this.#open.list())
      if (file !== last) file.finish(this.#described.describePlace(number));
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
