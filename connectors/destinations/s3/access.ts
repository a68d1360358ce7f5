/**
 * The bucket as its requests see it: keys below the prefix, one way to run a request, and errors that say what was tried
 * on which object. Paths are relative to the configured prefix, as in SealedFile.
 */
import type { S3Client } from "@aws-sdk/client-s3";

import { ExtractError } from "../../../proto/error.ts";
import type { S3Connection } from "./client.ts";
import type { S3DestinationConfig } from "./config.ts";
import { isMissing, readFailure, toS3Error } from "./errors.ts";
import type { S3Failure } from "./errors.ts";

/** What tells one bucket, and what is below the prefix, from others. */
export type S3Place = Pick<
  S3DestinationConfig,
  "bucket" | "prefix" | "endpoint" | "region"
>;

export class BucketAccess {
  readonly #place: S3Place;
  readonly #connection: S3Connection;
  readonly #signal: AbortSignal;

  /** @param signal ends all requests of this object */
  constructor(
    place: S3Place,
    connection: S3Connection,
    signal: AbortSignal = new AbortController().signal,
  ) {
    this.#place = place;
    this.#connection = connection;
    this.#signal = signal;
  }

  /** `s3://bucket/prefix/path`, for people. */
  describe(path: string): string {
    return `s3://${this.#place.bucket}/${this.keyOf(path)}`;
  }

  keyOf(path: string): string {
    const { prefix } = this.#place;
    return prefix === "" ? path : `${prefix}/${path}`;
  }

  protected get bucketName(): string {
    return this.#place.bucket;
  }

  protected get options(): { abortSignal: AbortSignal } {
    return { abortSignal: this.#signal };
  }

  protected async run<Output>(
    doing: string,
    path: string,
    request: (client: S3Client) => Promise<Output>,
  ): Promise<Output> {
    try {
      return await this.#connection.run(request);
    } catch (error) {
      throw this.explain(error, doing, path);
    }
  }

  protected async unlessMissing<Output>(
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

  protected explain(error: unknown, doing: string, path: string): unknown {
    const { bucket, endpoint, region } = this.#place;
    const place = endpoint ?? region ?? "S3";
    return toS3Error(error, { doing, url: this.describe(path), bucket, place });
  }

  protected fail(
    doing: string,
    path: string,
    why: string,
    cause?: unknown,
  ): ExtractError {
    const url = this.describe(path);
    return new ExtractError(
      "DESTINATION_FAILED",
      `could not ${doing} ${url}: ${why}`,
      { url, bucket: this.#place.bucket },
      { cause },
    );
  }
}

/** What the world said, behind an error in our words. */
export function readCause(error: unknown): S3Failure | null {
  return error instanceof ExtractError ? readFailure(error.cause) : null;
}
