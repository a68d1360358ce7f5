/** Listings and reads. */
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
} from "@aws-sdk/client-s3";

import type { HeadObjectCommandOutput } from "@aws-sdk/client-s3";

import { BucketAccess } from "./access.ts";

/** Objects or uploads of one listing; a folder of more is not read. */
const LISTED_MAX = 10_000_000;

export interface Listing {
  /** Names below the folder, with sizes in bytes. */
  readonly files: ReadonlyMap<string, number>;
  /** Names of folders below it, without slash. */
  readonly folders: readonly string[];
}

export class BucketReader extends BucketAccess {
  /** What lies directly in a folder. */
  async listFolder(folder: string): Promise<Listing> {
    const prefix = this.keyOf(folder === "" ? "" : `${folder}/`);
    const files = new Map<string, number>();
    const folders: string[] = [];
    let token: string | undefined;
    do {
      const command = new ListObjectsV2Command({
        Bucket: this.bucketName,
        Prefix: prefix,
        Delimiter: "/",
        ContinuationToken: token,
      });
      const page = await this.run("list", folder, (client) =>
        client.send(command, this.options),
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

  /**
   * Everything below a folder, with sizes in bytes, by path within it; in the order of the keys' bytes.
   * @param countMax more than these are not read
   */
  async listTree(
    folder: string,
    countMax = LISTED_MAX,
  ): Promise<ReadonlyMap<string, number>> {
    const prefix = this.keyOf(folder === "" ? "" : `${folder}/`);
    const files = new Map<string, number>();
    let token: string | undefined;
    do {
      const command = new ListObjectsV2Command({
        Bucket: this.bucketName,
        Prefix: prefix,
        ContinuationToken: token,
      });
      const page = await this.run("list", folder, (client) =>
        client.send(command, this.options),
      );
      for (const { Key = "", Size = 0 } of page.Contents ?? [])
        if (Key !== prefix) files.set(Key.slice(prefix.length), Size);
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
      this.#checkListed(files.size, folder, countMax);
    } while (token !== undefined);
    return files;
  }

  /** Whether the bucket can be listed at all, by the cheapest request that tells why not. */
  async checkListing(): Promise<void> {
    const command = new ListObjectsV2Command({
      Bucket: this.bucketName,
      Prefix: this.keyOf(""),
      MaxKeys: 1,
    });
    await this.run("list", "", (client) => client.send(command, this.options));
  }

  /** Uploads below a folder that were begun and not ended. */
  async listUploads(
    folder: string,
  ): Promise<{ readonly path: string; readonly uploadId: string }[]> {
    const root = this.keyOf("");
    const prefix = this.keyOf(folder === "" ? "" : `${folder}/`);
    const uploads: { path: string; uploadId: string }[] = [];
    let marker: { KeyMarker?: string; UploadIdMarker?: string } | null = {};
    while (marker !== null) {
      const command: ListMultipartUploadsCommand =
        new ListMultipartUploadsCommand({
          Bucket: this.bucketName,
          Prefix: prefix,
          ...marker,
        });
      const page = await this.run("list the uploads of", folder, (client) =>
        client.send(command, this.options),
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
      Bucket: this.bucketName,
      Key: this.keyOf(path),
    });
    return this.unlessMissing(async () =>
      this.run("read", path, async (client) => {
        const answer = await client.send(command, this.options);
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

  /** Bytes of an object; null where there is none. */
  async findSize(path: string): Promise<number | null> {
    return (await this.head(path))?.ContentLength ?? null;
  }

  /** What an object says of itself; null where there is none. */
  protected head(path: string): Promise<HeadObjectCommandOutput | null> {
    const command = new HeadObjectCommand({
      Bucket: this.bucketName,
      Key: this.keyOf(path),
    });
    return this.unlessMissing(() =>
      this.run("look at", path, (client) => client.send(command, this.options)),
    );
  }

  /** Bytes `start` to `end`, exclusive, of an object. */
  async readRange(path: string, start: number, end: number): Promise<Buffer> {
    const command = new GetObjectCommand({
      Bucket: this.bucketName,
      Key: this.keyOf(path),
      Range: `bytes=${start}-${end - 1}`,
    });
    return this.run("read", path, async (client) => {
      const { Body } = await client.send(command, this.options);
      return Buffer.from((await Body?.transformToByteArray()) ?? []);
    });
  }

  #checkListed(count: number, folder: string, countMax = LISTED_MAX): void {
    if (count <= countMax) return;
    throw this.fail("read", folder, `it holds more than ${countMax} objects`);
  }
}
