/** A small file that is kept beside the objects of a destination, by one writer at a time. */
import { ExtractError } from "../../../proto/error.ts";
import { S3Bucket, type BucketConfig } from "./bucket.ts";
import { S3Connection } from "./client.ts";

/** A ledger of many years. */
const KEPT_BYTES_MAX = 256 * 1024 * 1024;

export class KeptObject {
  readonly #path: string;
  readonly #connection: S3Connection;
  readonly #bucket: S3Bucket;
  /** Of what was read or put there last; null: nothing is there. */
  #etag: string | null = null;

  private constructor(
    path: string,
    connection: S3Connection,
    bucket: S3Bucket,
  ) {
    this.#path = path;
    this.#connection = connection;
    this.#bucket = bucket;
  }

  /** @param path relative to the prefix */
  static async open(config: BucketConfig, path: string): Promise<KeptObject> {
    const connection = await S3Connection.open(config);
    return new KeptObject(path, connection, new S3Bucket(config, connection));
  }

  /** Null: nothing is there. @throws ExtractError of the destination */
  async read(): Promise<Buffer | null> {
    const found = await this.#bucket.read(this.#path, KEPT_BYTES_MAX);
    if (found === "tooLarge")
      throw new ExtractError(
        "DESTINATION_FAILED",
        `${this.#bucket.describe(this.#path)} has more than ${KEPT_BYTES_MAX} bytes`,
        { path: this.#path },
      );
    this.#etag = found?.etag ?? null;
    return found?.bytes ?? null;
  }

  /** @throws ExtractError DESTINATION_FOREIGN where somebody else has put another there meanwhile */
  async replace(bytes: Uint8Array): Promise<void> {
    const etag = await this.#bucket.put(this.#path, bytes, this.#etag);
    if (etag !== null) {
      this.#etag = etag;
      return;
    }
    // an answer that was lost leaves our own there
    const found = await this.#bucket.read(this.#path, KEPT_BYTES_MAX);
    if (found !== null && found !== "tooLarge" && found.bytes.equals(bytes)) {
      this.#etag = found.etag;
      return;
    }
    const url = this.#bucket.describe(this.#path);
    throw new ExtractError(
      "DESTINATION_FOREIGN",
      `${url} was changed by somebody else: two writes to one place are under way`,
      { path: url },
    );
  }

  close(): void {
    this.#connection.destroy();
  }
}
