/**
 * The manifest as an object. It is replaced whole, and only if it is still the one that was read.
 */
import { ExtractError } from "../../../proto/error.ts";
import { countShownRows, showsLog } from "../layout/manifest-log.ts";
import {
  MANIFEST_BYTES_MAX,
  buildManifest,
  formatManifest,
  parseManifest,
  refuseManifest,
} from "../layout/manifest.ts";
import type { Manifest, ManifestOrder } from "../layout/manifest.ts";
import { MANIFEST_NAME, streamFolder } from "../layout/names.ts";
import type { StreamName } from "../layout/names.ts";
import type { S3Bucket } from "./bucket.ts";
import type { S3DestinationConfig } from "./config.ts";

interface FoundManifest {
  readonly manifest: Manifest;
  /** Names this version of it. */
  readonly etag: string;
}

function manifestPath(config: S3DestinationConfig, stream: StreamName): string {
  return `${streamFolder(config.pathTemplate, stream)}/${MANIFEST_NAME}`;
}

/**
 * @returns null where there is none
 * @throws ExtractError DESTINATION_FOREIGN for an object that this program would not write
 */
export async function readManifest(
  config: S3DestinationConfig,
  bucket: S3Bucket,
  stream: StreamName,
): Promise<FoundManifest | null> {
  const path = manifestPath(config, stream);
  const found = await bucket.read(path, MANIFEST_BYTES_MAX);
  if (found === null) return null;
  const url = bucket.describe(path);
  if (found === "tooLarge") throw refuseManifest(url, "is too long");
  const manifest = parseManifest(found.bytes.toString("utf8"), url);
  return { manifest, etag: found.etag };
}

/**
 * Makes the order's generation what readers see.
 * @param goesOn the generation does: what a newer order has shown of its log stays
 * @returns rows that came to what readers see of the generation
 * @throws ExtractError DESTINATION_FOREIGN when the manifest that is there is another sync's, or changes meanwhile
 */
export async function publishManifest(
  config: S3DestinationConfig,
  bucket: S3Bucket,
  order: ManifestOrder,
  goesOn: boolean,
): Promise<number> {
  const path = manifestPath(config, order.schema);
  const url = bucket.describe(path);
  const before = await readManifest(config, bucket, order.schema);
  if (goesOn && showsLog(before?.manifest ?? null, order)) return 0;
  const folder = bucket.describe(
    streamFolder(config.pathTemplate, order.schema),
  );
  const manifest = buildManifest(order, before?.manifest ?? null, folder);
  const bytes = formatManifest(manifest, url);
  const rows =
    countShownRows(manifest, order.generation) -
    countShownRows(before?.manifest ?? null, order.generation);
  if (await bucket.replace(path, bytes, before?.etag ?? null)) return rows;
  // an answer that was lost leaves our own there
  const now = await bucket.read(path, MANIFEST_BYTES_MAX);
  if (now !== null && now !== "tooLarge" && now.bytes.equals(bytes))
    return rows;
  throw new ExtractError(
    "DESTINATION_FOREIGN",
    `${url} was changed by another program while this one was about to replace it`,
    { path: url },
  );
}
