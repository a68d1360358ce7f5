/** The requests that write and remove. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { crc32 } from "node:zlib";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import type { PutObjectCommandInput, S3Client } from "@aws-sdk/client-s3";

import { readCause } from "./access.ts";
import type { S3Connection } from "./client.ts";
import type { S3DestinationConfig } from "./config.ts";
import { isConflict, isMissing, isPreconditionFailed } from "./errors.ts";
import type { S3Failure } from "./errors.ts";
import { BucketReader } from "./reader.ts";

/** Who wrote an object: told apart from a stranger's when an answer was lost and the name is taken. */
const TOKEN_KEY = "millrace-write";
/** Keys of one removal (API reference, "DeleteObjects"). */
const REMOVED_AT_ONCE = 1_000;
/** While another request for the same name is under way: waits of 0.1 s, doubled. */
const CONFLICT_ATTEMPTS_MAX = 6;
const CONFLICT_MS = 100;

export interface UploadedPart {
  readonly number: number;
  readonly etag: string;
  readonly checksum: string;
}

/** What a new object holds, and who says so. */
export interface NewObject {
  readonly path: string;
  readonly bytes: number;
  readonly token: string;
}

export function drawToken(): string {
  return randomBytes(16).toString("hex");
}

/** How files are made is not said. */
export type BucketConfig = Omit<
  S3DestinationConfig,
  "pathTemplate" | "fileBytesMax" | "format" | "partitionBy"
>;

export class S3Bucket extends BucketReader {
  readonly #config: BucketConfig;

  constructor(
    config: BucketConfig,
    connection: S3Connection,
    signal?: AbortSignal,
  ) {
    super(config, connection, signal);
    this.#config = config;
  }

  /**
   * Writes a small object under a name that nobody has.
   * @throws ExtractError DESTINATION_FAILED where the name is taken
   */
  async putNew(object: NewObject, body: Uint8Array): Promise<void> {
    const command = new PutObjectCommand({
      ...this.#describeNew(object),
      Body: body,
      ChecksumCRC32: digest(body),
      IfNoneMatch: "*",
    });
    await this.#publish("write", object, (client) =>
      client.send(command, this.options),
    );
  }

  /**
   * Puts an object in the place of the one that was read.
   * @param etag of the one that was read; null where there was none
   * @returns false where another one has been put there since
   */
  async replace(
    path: string,
    body: Uint8Array,
    etag: string | null,
  ): Promise<boolean> {
    return (await this.put(path, body, etag)) !== null;
  }

  /** As `replace`. @returns what names the new version; null where another one has been put there */
  async put(
    path: string,
    body: Uint8Array,
    etag: string | null,
  ): Promise<string | null> {
    const command = new PutObjectCommand({
      ...this.#describeNew({ path, token: drawToken() }),
      Body: body,
      ChecksumCRC32: digest(body),
      ...(etag === null ? { IfNoneMatch: "*" } : { IfMatch: etag }),
    });
    try {
      const { ETag = "" } = await this.run("replace", path, (client) =>
        client.send(command, this.options),
      );
      return ETag;
    } catch (error) {
      if (!isTaken(readCause(error))) throw error;
      return null;
    }
  }

  async beginUpload(object: Omit<NewObject, "bytes">): Promise<string> {
    const command = new CreateMultipartUploadCommand({
      ...this.#describeNew(object),
      ChecksumAlgorithm: "CRC32",
    });
    const { UploadId } = await this.run("begin", object.path, (client) =>
      client.send(command, this.options),
    );
    if (UploadId !== undefined && UploadId !== "") return UploadId;
    throw this.fail("write", object.path, "the upload got no id");
  }

  async uploadPart(
    path: string,
    uploadId: string,
    number: number,
    body: Uint8Array,
  ): Promise<UploadedPart> {
    const checksum = digest(body);
    const command = new UploadPartCommand({
      Bucket: this.bucketName,
      Key: this.keyOf(path),
      UploadId: uploadId,
      PartNumber: number,
      Body: body,
      ChecksumCRC32: checksum,
    });
    const { ETag } = await this.run("write", path, (client) =>
      client.send(command, this.options),
    );
    if (ETag !== undefined) return { number, etag: ETag, checksum };
    throw this.fail("write", path, `part ${number} got no mark`);
  }

  /** Makes an object of an upload, under a name that nobody has. @throws ExtractError as `putNew` */
  async completeUpload(
    object: NewObject,
    uploadId: string,
    parts: readonly UploadedPart[],
  ): Promise<void> {
    const command = new CompleteMultipartUploadCommand({
      Bucket: this.bucketName,
      Key: this.keyOf(object.path),
      UploadId: uploadId,
      IfNoneMatch: "*",
      MultipartUpload: {
        Parts: parts.map(({ number, etag, checksum }) => ({
          PartNumber: number,
          ETag: etag,
          ChecksumCRC32: checksum,
        })),
      },
    });
    await this.#publish("complete", object, (client) =>
      client.send(command, this.options),
    );
  }

  /** Ends an upload without an object; one that has ended is fine. */
  async abortUpload(path: string, uploadId: string): Promise<void> {
    const command = new AbortMultipartUploadCommand({
      Bucket: this.bucketName,
      Key: this.keyOf(path),
      UploadId: uploadId,
    });
    await this.unlessMissing(() =>
      this.run("abort", path, (client) => client.send(command, this.options)),
    );
  }

  /** Removes objects; those that have gone already are fine. */
  async remove(paths: readonly string[]): Promise<void> {
    for (let at = 0; at < paths.length; at += REMOVED_AT_ONCE) {
      const some = paths.slice(at, at + REMOVED_AT_ONCE);
      const command = new DeleteObjectsCommand({
        Bucket: this.bucketName,
        Delete: {
          Objects: some.map((path) => ({ Key: this.keyOf(path) })),
          Quiet: true,
        },
      });
      const first = some[0] ?? "";
      const { Errors = [] } = await this.run("remove", first, (client) =>
        client.send(command, this.options),
      );
      const [failed] = Errors.filter(({ Code }) => Code !== "NoSuchKey");
      if (failed === undefined) continue;
      const { Key = "", Code = "", Message = "" } = failed;
      const cause = Object.assign(new Error(Message), { Code, $metadata: {} });
      const path = Key.slice(this.keyOf("").length);
      throw this.explain(cause, "remove", path);
    }
  }

  /** Removes an object if it is the one that was written with this token. */
  async removeOwn(object: NewObject): Promise<void> {
    if (await this.#isOwn(object)) await this.remove([object.path]);
  }

  #describeNew({
    path,
    token,
  }: Omit<NewObject, "bytes">): PutObjectCommandInput {
    const { bucket, sse, acl, storageClass } = this.#config;
    const kmsKeyId = sse?.kmsKeyId ?? null;
    return {
      Bucket: bucket,
      Key: this.keyOf(path),
      Metadata: { [TOKEN_KEY]: token },
      ...(sse === null ? {} : { ServerSideEncryption: "aws:kms" }),
      ...(kmsKeyId === null ? {} : { SSEKMSKeyId: kmsKeyId }),
      ...(acl === null ? {} : { ACL: acl }),
      ...(storageClass === null ? {} : { StorageClass: storageClass }),
    };
  }

  /**
   * Runs the request that gives an object its name. When its answer was lost, the next attempt finds the name taken or
   * the upload gone: then the object itself says whose it is.
   */
  async #publish(
    doing: string,
    object: NewObject,
    request: (client: S3Client) => Promise<unknown>,
  ): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.run(doing, object.path, request);
        return;
      } catch (error) {
        const failure = readCause(error);
        if (failure === null) throw error;
        const isConflicting = isConflict(failure);
        if (!isConflicting && !isTaken(failure) && !isMissing(failure))
          throw error;
        if (await this.#isOwn(object)) return;
        if (isTaken(failure) && !isConflicting)
          throw this.fail("write", object.path, "the name is taken", error);
        if (!isConflicting || attempt >= CONFLICT_ATTEMPTS_MAX) throw error;
      }
      await sleep(CONFLICT_MS * 2 ** (attempt - 1));
    }
  }

  async #isOwn({ path, bytes, token }: NewObject): Promise<boolean> {
    const found = await this.head(path);
    return (
      found?.Metadata?.[TOKEN_KEY] === token && found.ContentLength === bytes
    );
  }
}

function isTaken(failure: S3Failure | null): boolean {
  return failure !== null && isPreconditionFailed(failure);
}

/** CRC-32 as S3 writes it: base64 of four bytes, big-endian. */
function digest(body: Uint8Array): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32(body));
  return bytes.toString("base64");
}
