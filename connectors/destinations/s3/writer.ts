/**
 * Writes one partition of one stream into objects and seals them at its checkpoints. Runs in a worker thread, beside
 * the decoder of the socket.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";

import type { CheckpointStamp, SealedFile } from "../../../proto/checkpoint.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";
import type { FileEncoder, FileFormat } from "../../formats/format.ts";
import type { StreamWriter } from "../destination.ts";
import { MARKER_KEY } from "../layout/marker.ts";
import { sidecarName, taggedName } from "../layout/names.ts";
import { PartitionFiles, useFileFormat } from "../layout/partition-files.ts";
import type { PartitionOrigin } from "../layout/partition-files.ts";
import { S3Bucket } from "./bucket.ts";
import type { S3Connection } from "./client.ts";
import type { S3DestinationConfig } from "./config.ts";
import type { Lane } from "./lane.ts";
import type { PartPool } from "./parts.ts";
import { ObjectUpload } from "./upload.ts";

/** What the writers of a channel share. */
export interface Channel {
  readonly config: S3DestinationConfig;
  readonly connection: S3Connection;
  readonly pool: PartPool;
  readonly lane: Lane;
}

interface OpenObject {
  readonly name: string;
  readonly upload: ObjectUpload;
  readonly encoder: FileEncoder;
  rows: number;
}

export class S3PartitionWriter implements StreamWriter {
  readonly #channel: Channel;
  readonly #partition: number;
  readonly #epoch: number;
  readonly #format: FileFormat;
  readonly #described: PartitionFiles;
  readonly #abort = new AbortController();
  readonly #bucket: S3Bucket;
  readonly #tag = randomBytes(4).toString("hex");
  /** Objects of the checkpoint to come, in order; the last one takes the next batch. */
  #objects: OpenObject[] = [];
  #objectsBegun = 0;
  #rows = 0;
  /** Seals go one behind the other: a checkpoint never counts before an earlier one of its partition. */
  #lastSeal: Promise<unknown> = Promise.resolve();
  #failure: Error | null = null;
  #sealFailure: Error | null = null;

  constructor(channel: Channel, origin: PartitionOrigin) {
    const { config, connection } = channel;
    this.#channel = channel;
    this.#partition = origin.partition;
    this.#epoch = origin.epoch;
    this.#format = useFileFormat(origin.schema, config.format);
    this.#described = new PartitionFiles(origin, config.pathTemplate);
    this.#bucket = new S3Bucket(config, connection, this.#abort.signal);
  }

  write(batch: ColumnBatch): void | Promise<void> {
    this.#throwIfUnusable();
    assert(batch.rowCount > 0, "an empty batch");
    this.#rows += batch.rowCount;
    return this.#noteFailure(() =>
      this.#channel.lane.run(() => this.#append(batch)),
    );
  }

  async seal(stamp: CheckpointStamp): Promise<readonly SealedFile[]> {
    let finished: Promise<Checkpoint>;
    try {
      this.#throwIfUnusable();
      this.#described.checkStamp(stamp, this.#rows);
      finished = this.#finish(stamp);
    } catch (error) {
      this.#failure ??= error as Error;
      throw error;
    }
    const before = this.#lastSeal;
    const sealed = finished.then(async (checkpoint) => {
      await before;
      return this.#publish(checkpoint);
    });
    this.#lastSeal = sealed.catch((error: Error) => {
      this.#sealFailure ??= error;
      this.#failure ??= error;
    });
    return sealed;
  }

  async discard(): Promise<void> {
    const objects = this.#objects;
    this.#objects = [];
    await this.#lastSeal;
    this.#rows = 0;
    for (const { upload } of objects) await upload.drop();
    this.#failure = null;
    this.#sealFailure = null;
  }

  abandon(): void {
    this.#abort.abort();
    this.#objects = [];
  }

  #throwIfUnusable(): void {
    assert(!this.#abort.signal.aborted, "the writer is abandoned");
    if (this.#failure !== null) throw this.#failure;
  }

  #noteFailure(work: () => void | Promise<void>): void | Promise<void> {
    const note = (error: unknown): never => {
      this.#failure ??= error as Error;
      throw error;
    };
    try {
      return work()?.catch(note);
    } catch (error) {
      return note(error);
    }
  }

  /** A full object is closed here and not sooner: the last one of a checkpoint has to wait for its marker. */
  #append(batch: ColumnBatch): void | Promise<void> {
    const current = this.#objects.at(-1);
    const isFull =
      current !== undefined &&
      current.rows > 0 &&
      current.encoder.bytesSoFar >= this.#channel.config.fileBytesMax;
    if (current && !isFull) return this.#encode(current, batch);
    const closed = current && this.#closeFull(current);
    if (closed) return closed.then(() => this.#encode(this.#open(), batch));
    return this.#encode(this.#open(), batch);
  }

  #encode(object: OpenObject, batch: ColumnBatch): void | Promise<void> {
    object.rows += batch.rowCount;
    return object.upload.append(object.encoder.encode(batch));
  }

  #open(): OpenObject {
    const name = taggedName(
      {
        partition: this.#partition,
        epoch: this.#epoch,
        tag: this.#tag,
        number: this.#objectsBegun++,
      },
      this.#format.extension,
    );
    const object = {
      name,
      upload: this.#createUpload(name),
      encoder: this.#format.createEncoder(),
      rows: 0,
    };
    this.#objects.push(object);
    return object;
  }

  #createUpload(name: string): ObjectUpload {
    const path = `${this.#described.folder}/${name}`;
    return new ObjectUpload(this.#bucket, this.#channel.pool, path);
  }

  #closeFull({ upload, encoder }: OpenObject): void | Promise<void> {
    const place = this.#described.describePlace(this.#objects.length - 1);
    const appended = upload.append(encoder.finish(place));
    return appended ? appended.then(() => upload.flush()) : upload.flush();
  }

  /** Writes the closing bytes of the last object. The objects are taken over at the call. */
  async #finish(stamp: CheckpointStamp): Promise<Checkpoint> {
    const objects = this.#objects;
    this.#objects = [];
    this.#rows = 0;
    const last = objects.at(-1);
    if (!last) return { objects, sidecar: null };
    const names = objects.map(({ name }) => name);
    const place = this.#described.describePlace(objects.length - 1);
    const describe = (bytesOfLast: number | null): string =>
      this.#described.describeMarker(
        stamp,
        names,
        objects.map(({ rows, upload }) => ({
          rows,
          bytes: upload === last.upload ? bytesOfLast : upload.bytes,
        })),
      );
    try {
      await this.#channel.lane.run(() =>
        last.upload.append(
          last.encoder.finish(
            this.#format.storesMetadata
              ? { ...place, [MARKER_KEY]: describe(null) }
              : place,
          ),
        ),
      );
      if (this.#format.storesMetadata) return { objects, sidecar: null };
      const sidecar = this.#createUpload(sidecarName(last.name));
      await this.#channel.lane.run(() =>
        sidecar.append([Buffer.from(describe(last.upload.bytes))]),
      );
      return { objects, sidecar };
    } catch (error) {
      await this.#takeBack({ objects, sidecar: null });
      throw error;
    }
  }

  async #publish(checkpoint: Checkpoint): Promise<SealedFile[]> {
    const { objects } = checkpoint;
    try {
      for (const { upload } of objects) await upload.settle();
      // what makes the checkpoint count comes last
      for (const upload of listUploads(checkpoint)) {
        this.#throwObstacle();
        await upload.publish();
      }
    } catch (error) {
      await this.#takeBack(checkpoint);
      // that its requests were cut off says less than why
      throw this.#abort.signal.aborted
        ? this.#described.describeAbandonment()
        : error;
    }
    return objects.map(({ upload, rows }) => ({
      path: upload.path,
      rows,
      bytes: upload.bytes,
    }));
  }

  /** A later checkpoint of a partition whose earlier one failed must not count, nor one of a process that is to end. */
  #throwObstacle(): void {
    if (this.#abort.signal.aborted) throw this.#described.describeAbandonment();
    if (this.#sealFailure !== null) throw this.#sealFailure;
  }

  /**
   * The marker first, so that what remains of a checkpoint never counts. A process that is to end may no longer hold
   * the epoch: it removes nothing.
   */
  async #takeBack(checkpoint: Checkpoint): Promise<void> {
    if (this.#abort.signal.aborted) return;
    for (const upload of listUploads(checkpoint).toReversed()) {
      try {
        await upload.drop();
      } catch {
        // the first error says more than the second, and is the one that is passed on
      }
    }
  }
}

/** The objects of one checkpoint, all bytes taken. */
interface Checkpoint {
  readonly objects: readonly OpenObject[];
  /** The marker, where the format has no place for it. */
  readonly sidecar: ObjectUpload | null;
}

function listUploads({ objects, sidecar }: Checkpoint): ObjectUpload[] {
  const uploads = objects.map(({ upload }) => upload);
  return sidecar === null ? uploads : [...uploads, sidecar];
}
