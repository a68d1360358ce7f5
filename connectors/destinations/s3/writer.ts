/**
 * Writes one partition of one stream into objects and seals them at its checkpoints. Runs in a worker thread, beside
 * the decoder of the socket.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";

import type { CheckpointStamp, SealedFile } from "../../../proto/checkpoint.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { FileEncoder, FileFormat } from "../../formats/format.ts";
import {
  PARTITION_VALUES_MAX,
  RowPartitioner,
} from "../../formats/partition-rows.ts";
import type { RowPart } from "../../formats/partition-rows.ts";
import type { StreamWriter } from "../destination.ts";
import { mapBounded } from "../layout/bounded.ts";
import { MARKER_KEY } from "../layout/marker.ts";
import { sidecarName, taggedName } from "../layout/names.ts";
import { OpenFolders } from "../layout/open-folders.ts";
import { PartitionFiles, useFileFormat } from "../layout/partition-files.ts";
import type { PartitionOrigin } from "../layout/partition-files.ts";
import { S3Bucket } from "./bucket.ts";
import {
  countHeld,
  dropObjects,
  publishObjects,
  type Checkpoint,
  type OpenObject,
} from "./checkpoint-objects.ts";
import { REQUESTS_AT_ONCE } from "./client.ts";
import type { S3Connection } from "./client.ts";
import { KEY_BYTES_MAX } from "./config.ts";
import type { S3DestinationConfig } from "./config.ts";
import type { Lane } from "./lane.ts";
import type { PartPool, WaitingBytes } from "./parts.ts";
import { ObjectUpload } from "./upload.ts";

/** Folders by value that a partition has objects open in: no batch has rows for more. */
const OPEN_OBJECTS_MAX = PARTITION_VALUES_MAX;
/** What open objects of a partition that is parted into folders may hold, in encoders and in parts that are filled. */
const OPEN_BYTES_MAX = 256 * 1024 * 1024;
/** What `sidecarName` adds to a name. */
const SIDECAR_BYTES = ".".length + ".checkpoint.json".length;

/** What the writers of a channel share. */
export interface Channel {
  readonly config: S3DestinationConfig;
  readonly connection: S3Connection;
  readonly pool: PartPool;
  readonly waiting: WaitingBytes;
  readonly lane: Lane;
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
  readonly #partitioner: RowPartitioner | null;
  /** Objects of the checkpoint to come, in order. */
  #objects: OpenObject[] = [];
  /** Those that take more rows; the last of all objects is always one of them. */
  readonly #open = new OpenFolders<OpenObject>();
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
    const { partitionBy = [] } = config;
    this.#partitioner =
      partitionBy.length > 0
        ? new RowPartitioner(origin.schema, partitionBy)
        : null;
  }

  write(batch: ColumnBatch): void | Promise<void> {
    this.#throwIfUnusable();
    assert(batch.rowCount > 0, "an empty batch");
    this.#rows += batch.rowCount;
    const { lane, waiting } = this.#channel;
    const append = () => lane.run(() => this.#append(batch));
    return this.#noteFailure(() =>
      // not within the lane, which seals need to make room
      this.#partitioner === null
        ? append()
        : waiting.waitForRoom().then(append),
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
      const bytes = countHeld(checkpoint);
      this.#channel.waiting.add(bytes);
      try {
        await before;
        return await this.#publish(checkpoint);
      } finally {
        this.#channel.waiting.remove(bytes);
      }
    });
    this.#lastSeal = sealed.catch((error: Error) => {
      this.#sealFailure ??= error;
      this.#failure ??= error;
    });
    return sealed;
  }

  async discard(): Promise<void> {
    const objects = this.#objects;
    this.#forgetObjects();
    await this.#lastSeal;
    this.#rows = 0;
    await mapBounded(objects, REQUESTS_AT_ONCE, ({ upload }) => upload.drop());
    this.#failure = null;
    this.#sealFailure = null;
  }

  abandon(): void {
    this.#abort.abort();
    this.#forgetObjects();
  }

  #forgetObjects(): void {
    this.#objects = [];
    this.#open.clear();
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

  #append(batch: ColumnBatch): void | Promise<void> {
    if (this.#partitioner === null) return this.#appendTo("", batch);
    return this.#appendParts(this.#partitioner.split(batch));
  }

  async #appendParts(parts: Iterable<RowPart>): Promise<void> {
    for (const { folder, batch } of parts) {
      await this.#appendTo(`${folder}/`, batch);
      await this.#closeSurplus();
    }
  }

  /** A full object is closed here and not sooner: the last one of a checkpoint has to wait for its marker. */
  #appendTo(folder: string, batch: ColumnBatch): void | Promise<void> {
    const current = this.#open.find(folder);
    const isFull =
      current !== null &&
      current.rows > 0 &&
      encoderOf(current).bytesSoFar >= this.#channel.config.fileBytesMax;
    if (current && !isFull) return this.#encode(current, batch);
    const closed = current && this.#close(current);
    if (closed)
      return closed.then(() => this.#encode(this.#begin(folder), batch));
    return this.#encode(this.#begin(folder), batch);
  }

  #encode(object: OpenObject, batch: ColumnBatch): void | Promise<void> {
    const { upload } = object;
    const encoder = encoderOf(object);
    object.rows += batch.rowCount;
    const appended = upload.append(encoder.encode(batch));
    this.#open.put(object.folder, object, encoder.heldBytes + upload.heldBytes);
    return appended;
  }

  #begin(folder: string): OpenObject {
    this.#described.checkCount(this.#objects.length);
    const name = taggedName(
      {
        partition: this.#partition,
        epoch: this.#epoch,
        tag: this.#tag,
        number: this.#objectsBegun++,
      },
      this.#format.extension,
    );
    const object: OpenObject = {
      name,
      folder,
      number: this.#objects.length,
      upload: this.#createUpload(`${folder}${name}`),
      encoder: this.#format.createEncoder(),
      rows: 0,
    };
    this.#objects.push(object);
    return object;
  }

  /** @param name within the generation's folder */
  #createUpload(name: string): ObjectUpload {
    const path = `${this.#described.folder}/${name}`;
    const bytes = Buffer.byteLength(this.#bucket.keyOf(path));
    if (bytes > KEY_BYTES_MAX - SIDECAR_BYTES)
      throw new ExtractError(
        "USAGE",
        `${this.#bucket.describe(path)} is too long: keys have ${KEY_BYTES_MAX} bytes at most. Part the rows by fewer columns, or by one with shorter values`,
        { path, bytes },
      );
    return new ObjectUpload(this.#bucket, this.#channel.pool, path);
  }

  /** Objects of other folders make room for those of new ones. What the last one holds is bounded by its encoder. */
  async #closeSurplus(): Promise<void> {
    const open = this.#open;
    const last = this.#objects.at(-1);
    assert(last);
    while (open.size > OPEN_OBJECTS_MAX || open.heldBytes > OPEN_BYTES_MAX) {
      const folder =
        open.size > OPEN_OBJECTS_MAX
          ? open.findOldest(last)
          : open.findLargest(last);
      const object = folder === null ? null : open.find(folder);
      if (object === null) return;
      await this.#close(object);
    }
  }

  /** Writes the closing bytes and sends them, so that the memory is free before the checkpoint. */
  #close(object: OpenObject): void | Promise<void> {
    const { folder, number, upload } = object;
    this.#open.remove(folder);
    const place = this.#described.describePlace(number);
    const appended = upload.append(finish(object, place));
    return appended ? appended.then(() => upload.flush()) : upload.flush();
  }

  /** Writes the closing bytes of what is open. The objects are taken over at the call. */
  async #finish(stamp: CheckpointStamp): Promise<Checkpoint> {
    const objects = this.#objects;
    const last = objects.at(-1);
    const others = objects.filter(
      (object) => object !== last && this.#open.find(object.folder) === object,
    );
    this.#forgetObjects();
    this.#rows = 0;
    if (!last) return { objects, sidecar: null };
    try {
      for (const object of others)
        await this.#channel.lane.run(() =>
          object.upload.append(
            finish(object, this.#described.describePlace(object.number)),
          ),
        );
      const place = this.#described.describePlace(last.number);
      const marker = (): string => this.#describeMarker(stamp, objects);
      await this.#channel.lane.run(() =>
        last.upload.append(
          finish(
            last,
            this.#format.storesMetadata
              ? { ...place, [MARKER_KEY]: marker() }
              : place,
          ),
        ),
      );
      if (this.#format.storesMetadata) return { objects, sidecar: null };
      const name = `${last.folder}${sidecarName(last.name)}`;
      const sidecar = this.#createUpload(name);
      await this.#channel.lane.run(() =>
        sidecar.append([Buffer.from(marker())]),
      );
      return { objects, sidecar };
    } catch (error) {
      await this.#takeBack({ objects, sidecar: null });
      throw error;
    }
  }

  /** The last object's size is not known where the marker is part of it. */
  #describeMarker(
    stamp: CheckpointStamp,
    objects: readonly OpenObject[],
  ): string {
    const names = objects.map(({ folder, name }) => `${folder}${name}`);
    const counts = objects.map(({ rows, upload }, number) => ({
      rows,
      bytes:
        this.#format.storesMetadata && number === objects.length - 1
          ? null
          : upload.bytes,
    }));
    return this.#described.describeMarker(stamp, names, counts);
  }

  async #publish(checkpoint: Checkpoint): Promise<SealedFile[]> {
    try {
      return await publishObjects(checkpoint, () => this.#throwObstacle());
    } catch (error) {
      await this.#takeBack(checkpoint);
      // that its requests were cut off says less than why
      throw this.#abort.signal.aborted
        ? this.#described.describeAbandonment()
        : error;
    }
  }

  /** A later checkpoint of a partition whose earlier one failed must not count, nor one of a process that is to end. */
  #throwObstacle(): void {
    if (this.#abort.signal.aborted) throw this.#described.describeAbandonment();
    if (this.#sealFailure !== null) throw this.#sealFailure;
  }

  /** A process that is to end may no longer hold the epoch: it removes nothing. */
  async #takeBack(checkpoint: Checkpoint): Promise<void> {
    if (!this.#abort.signal.aborted) await dropObjects(checkpoint);
  }
}

function encoderOf({ encoder, upload }: OpenObject): FileEncoder {
  assert(encoder, `${upload.path} is finished`);
  return encoder;
}

/** The closing bytes. What the encoder held is free with them: a checkpoint may have thousands of closed objects. */
function finish(
  object: OpenObject,
  metadata: Readonly<Record<string, string>>,
): readonly Uint8Array[] {
  const closing = encoderOf(object).finish(metadata);
  object.encoder = null;
  return closing;
}
