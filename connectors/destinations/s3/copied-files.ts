/** The files that go with rows, as objects below the folder of their generation. */
import { createReadStream } from "node:fs";
import type { FileReference } from "../../airbyte/file-reference.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { FileStore } from "../copying-writer.ts";
import { mapBounded } from "../layout/bounded.ts";
import { placeCopied } from "../layout/copied-files.ts";
import { generationPath } from "../layout/names.ts";
import type { PartitionOrigin } from "../layout/partition-files.ts";
import type { S3Bucket } from "./bucket.ts";
import { KEY_BYTES_MAX, type S3DestinationConfig } from "./config.ts";
import type { PartPool } from "./parts.ts";
import { ObjectUpload } from "./upload.ts";

/** Each fills a part, which is memory. */
const UPLOADS_AT_ONCE = 2;
const READ_BYTES = 1024 * 1024;

export class CopiedObjects implements FileStore {
  readonly #bucket: S3Bucket;
  readonly #pool: PartPool;
  /** The generation's, relative to the prefix. */
  readonly #folder: string;

  constructor(
    { pathTemplate }: S3DestinationConfig,
    { schema, generation }: PartitionOrigin,
    bucket: S3Bucket,
    pool: PartPool,
  ) {
    this.#bucket = bucket;
    this.#pool = pool;
    this.#folder = generationPath(pathTemplate, schema, generation);
  }

  /** @throws ExtractError of the destination; DESTINATION_FAILED for a staged file that is not what its reference says */
  async copy(files: readonly FileReference[]): Promise<void> {
    await mapBounded(files, UPLOADS_AT_ONCE, (file) => this.#copyOne(file));
  }

  async #copyOne({
    stagedPath,
    relativePath,
    bytes,
  }: FileReference): Promise<void> {
    const path = `${this.#folder}/${placeCopied(relativePath)}`;
    const keyBytes = Buffer.byteLength(this.#bucket.keyOf(path));
    if (keyBytes > KEY_BYTES_MAX)
      throw new ExtractError(
        "DESTINATION_FAILED",
        `${this.#bucket.describe(path)} cannot be written: keys have ${KEY_BYTES_MAX} bytes at most`,
        { path, bytes: keyBytes },
      );
    const upload = new ObjectUpload(this.#bucket, this.#pool, path);
    try {
      await fill(upload, stagedPath);
      if (upload.bytes !== bytes)
        throw new ExtractError(
          "DESTINATION_FAILED",
          `${stagedPath} has ${upload.bytes} bytes instead of ${bytes}: it was changed while it was copied`,
          { path: stagedPath, bytesFound: upload.bytes, bytesSaid: bytes },
        );
      // an attempt that was cut off may have given it its name; nobody reads the generation yet
      await this.#bucket.remove([path]);
      await upload.publish();
    } catch (error) {
      await upload.drop().catch(() => {
        // the first error says more
      });
      throw error;
    }
  }
}

/** @throws ExtractError DESTINATION_FAILED for a staged file that cannot be read */
async function fill(upload: ObjectUpload, path: string): Promise<void> {
  const pieces = createReadStream(path, { highWaterMark: READ_BYTES });
  try {
    for await (const piece of pieces as AsyncIterable<Buffer>)
      await upload.append([piece]);
  } catch (cause) {
    if (cause instanceof ExtractError) throw cause;
    throw new ExtractError(
      "DESTINATION_FAILED",
      `the staged file ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      { path },
      { cause },
    );
  }
}
