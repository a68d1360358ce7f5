/**
 * The few requests that the destination makes. Paths are relative to the configured prefix, as in SealedFile; every
 * error says what was tried on which object.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { crc32 } from "node:zlib";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import type { PutObjectCommandInput, S3Client } from "@aws-sdk/client-s3";

import { ExtractError } from "../../../proto/error.ts";
import type { S3Connection } from "./client.ts";
import type { S3DestinationConfig } from "./config.ts";
import {
  isConflict,
  isMissing,
  isPreconditionFailed,
  readFailure,
  toS3Error,
} from "./errors.ts";
import type { S3Failure } from "./errors.ts";

/** Who wrote an object: told apart from a stranger's when an answer was lost and the name is taken. */
const TOKEN_KEY = "millrace-write";
/** Objects or uploads of one listing; a folder of more is not read. */
const LISTED_MAX = 10_000_000;
/** Keys of one removal (API reference, "DeleteObjects"). */
const REMOVED_AT_ONCE = 1_000;
/** While another request for the same name is under way: waits of 0.1 s, doubled. */
const CONFLICT_ATTEMPTS_MAX = 6;
const CONFLICT_MS = 100;

export interface Listing {
  /** Names below the folder, with sizes in bytes. */
  readonly files: ReadonlyMap<string, number>;
  /** Names of folders below it, without slash. */
  readonly folders: readonly string[];
}

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

export class S3Bucket {
  readonly #config: S3DestinationConfig;
  readonly #connection: S3Connection;
  readonly #signal: AbortSignal;

  /** @param signal ends all requests of this object */
  constructor(
    config: S3DestinationConfig,
    connection: S3Connection,
    signal: AbortSignal = new AbortController().signal,
  ) {
    this.#config = config;
    this.#connection = connection;
    this.#signal = signal;
  }

  /** `s3://bucket/prefix/path`, for people. */
  describe(path: string): string {
    return `s3://${this.#config.bucket}/${this.keyOf(path)}`;
  }

  keyOf(path: string): string {
    const { prefix } = this.#config;
    return prefix === "" ? path : `${prefix}/${path}`;
  }

  /** What lies directly in a folder. */
  async listFolder(folder: string): Promise<Listing> {
    const prefix = this.keyOf(folder === "" ? "" : `${folder}/`);
    const files = new Map<string, number>();
    const folders: string[] = [];
    let token: string | undefined;
    do {
      const command = new ListObjectsV2Command({
        Bucket: this.#config.bucket,
        Prefix: prefix,
        Delimiter: "/",
        ContinuationToken: token,
      });
      const page = await this.#run("list", folder, (client) =>
        client.send(command, this.#options),
      );
      for (const { Key = "", Size = 0 } of page.Contents ?? [])
        if (Key !== prefix) files.set(Key.slice(prefix.length), Size);
      for (const { Prefix = "" } of page.CommonPrefixes ?? [])
        folders.push(Prefix.slice(prefix.length, -1));
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
      this.#checkListed(files.size + folders.length, folder);
    } while (token !== undefined);
    return { files, folders };
  }

  /** Whether the bucket can be listed at all, by the cheapest request that tells why not. */
  async checkListing(): Promise<void> {
    const command = new ListObjectsV2Command({
      Bucket: this.#config.bucket,
      Prefix: this.keyOf(""),
      MaxKeys: 1,
    });
    await this.#run("list", "", (client) =>
      client.send(command, this.#options),
    );
  }

  /** Uploads below a folder that were begun and not ended. */
  async listUploads(
    folder: string,
  ): Promise<{ readonly path: string; readonly uploadId: string }[]> {
    const { bucket } = this.#config;
    const root = this.keyOf("");
    const prefix = this.keyOf(folder === "" ? "" : `${folder}/`);
    const uploads: { path: string; uploadId: string }[] = [];
    let marker: { KeyMarker?: string; UploadIdMarker?: string } | null = {};
    while (marker !== null) {
      const command: ListMultipartUploadsCommand =
        new ListMultipartUploadsCommand({
          Bucket: bucket,
          Prefix: prefix,
          ...marker,
        });
      const page = await this.#run("list the uploads of", folder, (client) =>
        client.send(command, this.#options),
      );
      for (const { Key = "", UploadId = "" } of page.Uploads ?? [])
        uploads.push({ path: Key.slice(root.length), uploadId: UploadId });
      this.#checkListed(uploads.length, folder);
      marker =
        page.IsTruncated && page.NextKeyMarker !== undefined
          ? {
              KeyMarker: page.NextKeyMarker,
              ...(page.NextUploadIdMarker === undefined
                ? {}
                : { UploadIdMarker: page.NextUploadIdMarker }),
            }
          : null;
    }
    return uploads;
  }

  /**
   * An object whole, with the mark that names this version of it; null where there is none.
   * @param bytesMax a longer one is `tooLarge`, whatever it says of itself
   */
  async read(
    path: string,
    bytesMax: number,
  ): Promise<{ bytes: Buffer; etag: string } | "tooLarge" | null> {
    const command = new GetObjectCommand({
      Bucket: this.#config.bucket,
      Key: this.keyOf(path),
    });
    return this.#unlessMissing(async () =>
      this.#run("read", path, async (client) => {
        const answer = await client.send(command, this.#options);
        const { Body, ContentLength = 0, ETag = "" } = answer;
        if (ContentLength > bytesMax) {
          (Body as { destroy?(): void } | undefined)?.destroy?.();
          return "tooLarge";
        }
        const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
        return { bytes, etag: ETag };
      }),
    );
  }

  /** Bytes `start` to `end`, exclusive, of an object. */
  async readRange(path: string, start: number, end: number): Promise<Buffer> {
    const command = new GetObjectCommand({
      Bucket: this.#config.bucket,
      Key: this.keyOf(path),
      Range: `bytes=${start}-${end - 1}`,
    });
    return this.#run("read", path, async (client) => {
      const { Body } = await client.send(command, this.#options);
      return Buffer.from((await Body?.transformToByteArray()) ?? []);
    });
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
      client.send(command, this.#options),
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
    const command = new PutObjectCommand({
      ...this.#describeNew({ path, token: drawToken() }),
      Body: body,
      ChecksumCRC32: digest(body),
      ...(etag === null ? { IfNoneMatch: "*" } : { IfMatch: etag }),
    });
    try {
      await this.#run("replace", path, (client) =>
        client.send(command, this.#options),
      );
      return true;
    } catch (error) {
      if (!isTaken(readCause(error))) throw error;
      return false;
    }
  }

  async beginUpload(object: Omit<NewObject, "bytes">): Promise<string> {
    const command = new CreateMultipartUploadCommand({
      ...this.#describeNew(object),
      ChecksumAlgorithm: "CRC32",
    });
    const { UploadId } = await this.#run("begin", object.path, (client) =>
      client.send(command, this.#options),
    );
    if (UploadId !== undefined && UploadId !== "") return UploadId;
    throw this.#fail(object.path, "the upload got no id");
  }

  async uploadPart(
    path: string,
    uploadId: string,
    number: number,
    body: Uint8Array,
  ): Promise<UploadedPart> {
    const checksum = digest(body);
    const command = new UploadPartCommand({
      Bucket: this.#config.bucket,
      Key: this.keyOf(path),
      UploadId: uploadId,
      PartNumber: number,
      Body: body,
      ChecksumCRC32: checksum,
    });
    const { ETag } = await this.#run("write", path, (client) =>
      client.send(command, this.#options),
    );
    if (ETag !== undefined) return { number, etag: ETag, checksum };
    throw this.#fail(path, `part ${number} got no mark`);
  }

  /** Makes an object of an upload, under a name that nobody has. @throws ExtractError as `putNew` */
  async completeUpload(
    object: NewObject,
    uploadId: string,
    parts: readonly UploadedPart[],
  ): Promise<void> {
    const command = new CompleteMultipartUploadCommand({
      Bucket: this.#config.bucket,
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
      client.send(command, this.#options),
    );
  }

  /** Ends an upload without an object; one that has ended is fine. */
  async abortUpload(path: string, uploadId: string): Promise<void> {
    const command = new AbortMultipartUploadCommand({
      Bucket: this.#config.bucket,
      Key: this.keyOf(path),
      UploadId: uploadId,
    });
    await this.#unlessMissing(() =>
      this.#run("abort", path, (client) => client.send(command, this.#options)),
    );
  }

  /** Removes objects; those that have gone already are fine. */
  async remove(paths: readonly string[]): Promise<void> {
    for (let at = 0; at < paths.length; at += REMOVED_AT_ONCE) {
      const some = paths.slice(at, at + REMOVED_AT_ONCE);
      const command = new DeleteObjectsCommand({
        Bucket: this.#config.bucket,
        Delete: {
          Objects: some.map((path) => ({ Key: this.keyOf(path) })),
          Quiet: true,
        },
      });
      const first = some[0] ?? "";
      const { Errors = [] } = await this.#run("remove", first, (client) =>
        client.send(command, this.#options),
      );
      const [failed] = Errors.filter(({ Code }) => Code !== "NoSuchKey");
      if (failed === undefined) continue;
      const { Key = "", Code = "", Message = "" } = failed;
      const cause = Object.assign(new Error(Message), { Code, $metadata: {} });
      const path = Key.slice(this.keyOf("").length);
      throw this.#explain(cause, "remove", path);
    }
  }

  /** Removes an object if it is the one that was written with this token. */
  async removeOwn(object: NewObject): Promise<void> {
    if (await this.#isOwn(object)) await this.remove([object.path]);
  }

  get #options(): { abortSignal: AbortSignal } {
    return { abortSignal: this.#signal };
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
        await this.#run(doing, object.path, request);
        return;
      } catch (error) {
        const failure = readCause(error);
        if (failure === null) throw error;
        const isConflicting = isConflict(failure);
        if (!isConflicting && !isTaken(failure) && !isMissing(failure))
          throw error;
        if (await this.#isOwn(object)) return;
        if (isTaken(failure) && !isConflicting)
          throw this.#fail(object.path, "the name is taken", error);
        if (!isConflicting || attempt >= CONFLICT_ATTEMPTS_MAX) throw error;
      }
      await sleep(CONFLICT_MS * 2 ** (attempt - 1));
    }
  }

  async #isOwn({ path, bytes, token }: NewObject): Promise<boolean> {
    const command = new HeadObjectCommand({
      Bucket: this.#config.bucket,
      Key: this.keyOf(path),
    });
    const found = await this.#unlessMissing(() =>
      this.#run("look at", path, (client) =>
        client.send(command, this.#options),
      ),
    );
    return (
      found?.Metadata?.[TOKEN_KEY] === token && found.ContentLength === bytes
    );
  }

  async #run<Output>(
    doing: string,
    path: string,
    request: (client: S3Client) => Promise<Output>,
  ): Promise<Output> {
    try {
      return await this.#connection.run(request);
    } catch (error) {
      throw this.#explain(error, doing, path);
    }
  }

  async #unlessMissing<Output>(
    request: () => Promise<Output>,
  ): Promise<Output | null> {
    try {
      return await request();
    } catch (error) {
      const failure = readCause(error);
      if (failure !== null && isMissing(failure)) return null;
      throw error;
    }
  }

  #explain(error: unknown, doing: string, path: string): unknown {
    const { bucket, endpoint, region } = this.#config;
    const place = endpoint ?? region ?? "S3";
    return toS3Error(error, { doing, url: this.describe(path), bucket, place });
  }

  #fail(path: string, why: string, cause?: unknown): ExtractError {
    const url = this.describe(path);
    return new ExtractError(
      "DESTINATION_FAILED",
      `could not write ${url}: ${why}`,
      { url, bucket: this.#config.bucket },
      { cause },
    );
  }

  #checkListed(count: number, folder: string): void {
    if (count <= LISTED_MAX) return;
    throw this.#fail(`${folder}/`, `it holds more than ${LISTED_MAX} objects`);
  }
}

function isTaken(failure: S3Failure | null): boolean {
  return failure !== null && isPreconditionFailed(failure);
}

/** What the world said, behind an error in our words. */
function readCause(error: unknown): S3Failure | null {
  return error instanceof ExtractError ? readFailure(error.cause) : null;
}

/** CRC-32 as S3 writes it: base64 of four bytes, big-endian. */
function digest(body: Uint8Array): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32(body));
  return bytes.toString("base64");
}
