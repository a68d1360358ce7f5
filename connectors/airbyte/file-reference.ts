/**
 * Whole files that go with records: the source stages a file in a folder that both sides see, and its record says where
 * it lies, where it belongs and how long it is. Among our own processes the reference is a column of its row.
 * @see airbytehq/airbyte-protocol, `AirbyteRecordMessageFileReference`
 */
import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import type { ColumnBatch } from "../../proto/columns.ts";
import { ExtractError } from "../../proto/error.ts";
import type { ColumnSchema, StreamSchema } from "../../proto/schema.ts";
import { parseExact, unwrapNumber } from "./exact-json.ts";

/** Behind the columns of a stream whose files are copied: the reference as JSON; NULL where a record has no file. */
export const FILE_COLUMN = "_airbyte_file_reference";

/** Tells the column from one of the stream's own that is called so. */
const SOURCE_TYPE = "airbyte file_reference";

export const fileColumn: ColumnSchema = {
  name: FILE_COLUMN,
  type: { kind: "json" },
  nullable: true,
  sourceType: SOURCE_TYPE,
};

/** Bytes of a path: a name of 255 in each of some folders, and less than S3's longest key. */
const PATH_BYTES_MAX = 768;
/** Bytes of one name (Linux, `NAME_MAX`). */
const NAME_BYTES_MAX = 255;
/** Bytes of a place in the staging folder (Linux, `PATH_MAX`). */
const STAGED_BYTES_MAX = 4_096;

export interface FileReference {
  /** Absolute. */
  readonly stagedPath: string;
  /** Below the stream's files at the destination: names that are neither empty nor dots, joined by slashes. */
  readonly relativePath: string;
  readonly bytes: number;
}

/** Where the reference stands among the columns; null where the stream copies no files. */
export function findFileColumn({ columns }: StreamSchema): number | null {
  const at = columns.findIndex(({ sourceType }) => sourceType === SOURCE_TYPE);
  return at === -1 ? null : at;
}

/**
 * A reference as its sender has written it. What is on a disk is not looked at.
 * @throws ExtractError CONNECTOR_MESSAGE_INVALID for places that no file may be taken from or brought to
 */
export function readFileReference(text: string, stream: string): FileReference {
  const value = parseExact(text);
  const members =
    typeof value === "object" && value !== null
      ? (value as Record<string, unknown>)
      : {};
  const refuse = (reason: string): ExtractError =>
    new ExtractError(
      "CONNECTOR_MESSAGE_INVALID",
      `a record of ${stream} has a file_reference that cannot be followed: ${reason}`,
      { stream, reason },
    );
  const stagedPath = readStagedPath(members["staging_file_url"]);
  if (stagedPath === null)
    throw refuse("staging_file_url is no absolute path of a file");
  const relativePath = members["source_file_relative_path"];
  const fault = findPathFault(relativePath);
  if (fault !== null || typeof relativePath !== "string")
    throw refuse(`source_file_relative_path ${fault ?? "is no text"}`);
  const bytes = unwrapNumber(members["file_size_bytes"]);
  if (typeof bytes !== "number" || !Number.isSafeInteger(bytes) || bytes < 0)
    throw refuse("file_size_bytes is no count");
  return { stagedPath, relativePath, bytes };
}

/**
 * The `file` of a record, by which connectors handed files over before there were references, as one of these.
 * Such a record may have no data.
 * @see airbytehq/airbyte, `AirbyteRecordMessageFile` of its bulk CDK and `AirbyteFileTransferRecordMessage` of its
 *   Python CDK, both of 2024
 */
export function renameOlderFile(text: string): string {
  const { file_url, file_relative_path, bytes } = JSON.parse(text) as Readonly<
    Record<string, unknown>
  >;
  return JSON.stringify({
    staging_file_url: file_url,
    source_file_relative_path: file_relative_path,
    file_size_bytes: bytes,
  });
}

/** As the protocol has it. */
export function formatFileReference({
  stagedPath,
  relativePath,
  bytes,
}: FileReference): string {
  return JSON.stringify({
    staging_file_url: stagedPath,
    source_file_relative_path: relativePath,
    file_size_bytes: bytes,
  });
}

/** What is wrong with a path that a file is to be brought to, as in "the path …"; null where nothing is. */
export function findPathFault(path: unknown): string | null {
  if (typeof path !== "string" || path === "") return "is no text";
  if (Buffer.byteLength(path) > PATH_BYTES_MAX)
    return `is longer than ${PATH_BYTES_MAX} bytes`;
  // a lone half of a pair would come out as another character
  if (!path.isWellFormed()) return "is no Unicode";
  if (/\p{Cc}|\\/u.test(path)) return "has control characters or backslashes";
  if (path.startsWith("/")) return "is absolute";
  for (const name of path.split("/")) {
    if (name === "" || name === "." || name === "..")
      return "has a name that is empty or dots";
    if (Buffer.byteLength(name) > NAME_BYTES_MAX)
      return `has a name of more than ${NAME_BYTES_MAX} bytes`;
  }
  return null;
}

/** The references of a batch, in the order of its rows. */
export function listFileReferences(
  { rowCount, columns }: ColumnBatch,
  column: number,
  stream: string,
): FileReference[] {
  const { offsets = null, validity = null, data } = columns[column] ?? {};
  if (offsets === null || data === undefined) return [];
  const references: FileReference[] = [];
  for (let row = 0; row < rowCount; row++) {
    const isNull =
      validity !== null && ((validity[row >> 3] ?? 0) & (1 << (row & 7))) === 0;
    if (isNull) continue;
    const text = data.subarray(offsets[row], offsets[row + 1]);
    references.push(
      readFileReference(Buffer.from(text).toString("utf8"), stream),
    );
  }
  return references;
}

/** A path, or a `file:` URL without a host. */
function readStagedPath(url: unknown): string | null {
  if (typeof url !== "string" || url.length > STAGED_BYTES_MAX) return null;
  if (url.includes("\0")) return null;
  if (isAbsolute(url)) return url;
  if (!/^file:\/\/(?:localhost)?\//i.test(url)) return null;
  try {
    return fileURLToPath(url);
  } catch {
    return null;
  }
}
