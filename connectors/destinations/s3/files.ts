/** The objects below a place, for people who want to look into them: listed, and read by ranges. */
import { ExtractError } from "../../../proto/error.ts";
import type { FileBytes } from "../../formats/read.ts";
import { S3Connection } from "./client.ts";
import { BucketReader } from "./reader.ts";
import type { S3Target } from "./url.ts";

/** Objects looked at below one place. */
const OBJECTS_MAX = 1_000_000;
/** An object up to this is read in one request. */
const WHOLE_BYTES_MAX = 8 * 1024 * 1024;
/** Read ahead of a larger one; Parquet is read by the ranges that its footer names. */
const AHEAD_BYTES = 4 * 1024 * 1024;
/** Asked for first of a larger Parquet object: most footers are within it. */
const TAIL_BYTES = 64 * 1024;

/** What was read last is kept up to this. */
const KEPT_BYTES_MAX = WHOLE_BYTES_MAX;

export class S3Files {
  /** Of an object, or of a folder; without slashes at its ends, and empty for the whole bucket. */
  readonly path: string;
  readonly #connection: S3Connection;
  readonly #bucket: BucketReader;

  private constructor(
    target: S3Target,
    path: string,
    connection: S3Connection,
  ) {
    this.path = path;
    this.#connection = connection;
    this.#bucket = new BucketReader({ ...target, prefix: "" }, connection);
  }

  static async open(target: S3Target, path: string): Promise<S3Files> {
    return new S3Files(target, path, await S3Connection.open(target));
  }

  /** `s3://bucket/key` */
  describe(key: string): string {
    return this.#bucket.describe(key);
  }

  /**
   * The object itself, or all below the folder: sizes in bytes by key.
   * @throws ExtractError of the destination
   */
  async list(): Promise<ReadonlyMap<string, number>> {
    const found = await this.#bucket.listTree(this.path, OBJECTS_MAX);
    if (this.path === "") return found;
    if (found.size > 0)
      return new Map(
        [...found].map(([inner, bytes]) => [`${this.path}/${inner}`, bytes]),
      );
    const bytes = await this.#bucket.findSize(this.path);
    return bytes === null ? found : new Map([[this.path, bytes]]);
  }

  /** A small object's text; null where there is none, or a longer one. */
  async readText(key: string, bytesMax: number): Promise<string | null> {
    const found = await this.#bucket.read(key, bytesMax);
    if (found === null || found === "tooLarge") return null;
    return found.bytes.toString("utf8");
  }

  /** Asks for nothing before the first slice. */
  open(key: string, size: number): FileBytes {
    const path = this.describe(key);
    let kept: { start: number; bytes: Buffer } | null = null;
    const slice = async (start: number, end: number): Promise<ArrayBuffer> => {
      const isKept =
        kept !== null &&
        start >= kept.start &&
        end <= kept.start + kept.bytes.byteLength;
      if (isKept && kept !== null)
        return copyOf(kept.bytes, start - kept.start, end - kept.start);
      const from = chooseStart(key, size, start, end);
      const to = chooseEnd(key, size, start, end);
      const bytes = await this.#bucket.readRange(key, from, to);
      if (bytes.byteLength !== to - from)
        throw new ExtractError(
          "DESTINATION_FAILED",
          `${path} was changed while it was read`,
          { path, size },
        );
      if (to - from <= KEPT_BYTES_MAX) kept = { start: from, bytes };
      return copyOf(bytes, start - from, end - from);
    };
    return { path, size, slice };
  }

  close(): void {
    this.#connection.destroy();
  }
}

function chooseStart(
  key: string,
  size: number,
  start: number,
  end: number,
): number {
  if (size <= WHOLE_BYTES_MAX) return 0;
  const isTail = key.endsWith(".parquet") && end === size;
  return isTail ? Math.min(start, size - TAIL_BYTES) : start;
}

function chooseEnd(
  key: string,
  size: number,
  start: number,
  end: number,
): number {
  if (size <= WHOLE_BYTES_MAX) return size;
  if (key.endsWith(".parquet")) return end;
  return Math.max(end, Math.min(start + AHEAD_BYTES, size));
}

function copyOf(bytes: Buffer, start: number, end: number): ArrayBuffer {
  return new Uint8Array(bytes.subarray(start, end)).buffer;
}
