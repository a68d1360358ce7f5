/** Catalogs of the Airbyte protocol as streams of ours, and back. */
import { createHash } from "node:crypto";
import { ExtractError } from "../../proto/error.ts";
import type { ColumnSchema, StreamSchema } from "../../proto/schema.ts";
import { findFileColumn } from "./file-reference.ts";
import {
  describeColumns,
  readProperty,
  showProperty,
  type NumberType,
} from "./json-schema.ts";
import {
  namespaceOf,
  type AirbyteCatalogStream,
  type AirbyteConfiguredStream,
} from "./messages.ts";

/** Columns of one stream: more would not fit into a batch. */
const COLUMNS_MAX = 10_000;

/** What a stream's own connector says of it, beside its columns. */
export interface StreamOffer {
  readonly supportsIncremental: boolean;
  /** The source itself knows what is new. */
  readonly hasOwnCursor: boolean;
  readonly isResumable: boolean;
}

/** A stream as `discover` tells of it. */
export function describeStream(
  schema: StreamSchema,
  { supportsIncremental, hasOwnCursor, isResumable }: StreamOffer,
): AirbyteCatalogStream {
  const { namespace, name, columns, key } = schema;
  const file = findFileColumn(schema);
  return {
    name,
    ...(namespace === "" ? {} : { namespace }),
    // a reference to a file stands beside the values of its record
    json_schema: {
      ...describeColumns(columns.filter((_, at) => at !== file)),
    },
    supported_sync_modes: supportsIncremental
      ? ["full_refresh", "incremental"]
      : ["full_refresh"],
    source_defined_cursor: hasOwnCursor,
    default_cursor_field: [],
    source_defined_primary_key: (key ?? []).map((column) => [column]),
    is_resumable: isResumable,
    ...(file === null ? {} : { is_file_based: true }),
  };
}

export interface StreamChoice {
  /** Names the stream on the channels of one run; from 1. */
  readonly number: number;
  /** Names of columns; null: all. */
  readonly columns?: readonly string[] | null;
  /** Paths into a row; null: what the source defines. */
  readonly primaryKey?: readonly (readonly string[])[] | null;
  readonly numbers?: NumberType;
}

/**
 * A stream of a foreign catalog as ours: its columns in the order of the schema. A stream in no namespace has the empty
 * one. Any column may be NULL apart from those of the key.
 * @throws ExtractError CONNECTOR_MESSAGE_INVALID for a schema without properties
 */
export function readStreamSchema(
  stream: AirbyteCatalogStream,
  { number, columns: wanted = null, primaryKey, numbers }: StreamChoice,
): StreamSchema {
  const { properties } = stream.json_schema;
  const named =
    typeof properties === "object" && properties !== null
      ? Object.entries(properties)
      : [];
  if (named.length === 0 || named.length > COLUMNS_MAX)
    throw new ExtractError(
      "CONNECTOR_MESSAGE_INVALID",
      `the stream ${showStream(stream)} has a schema of ${named.length} properties: 1 to ${COLUMNS_MAX} can be read`,
      { stream: showStream(stream) },
    );
  const key = readKey(
    primaryKey ?? stream.source_defined_primary_key ?? [],
    named.map(([name]) => name),
  );
  const columns: ColumnSchema[] = named
    .filter(([name]) => wanted === null || wanted.includes(name))
    .map(([name, property]) => ({
      name,
      type: readProperty(property, numbers),
      nullable: !(key ?? []).includes(name),
      sourceType: showProperty(property),
    }));
  const isKeyWhole = (key ?? []).every((name) =>
    columns.some((column) => column.name === name),
  );
  return {
    number,
    namespace: namespaceOf(stream) ?? "",
    name: stream.name,
    columns,
    ...(key !== null && isKeyWhole ? { key } : {}),
    fingerprint: fingerprintOf(columns),
  };
}

/** Null where there is none, or where a part of it lies deeper than a column. */
function readKey(
  paths: readonly (readonly string[])[],
  names: readonly string[],
): readonly string[] | null {
  const columns = paths.flatMap((path) =>
    path.length === 1 ? [path[0] ?? ""] : [],
  );
  const isUsable =
    columns.length > 0 &&
    columns.length === paths.length &&
    columns.every((name) => names.includes(name));
  return isUsable ? columns : null;
}

/** 16 hexadecimal digits over names, types and nullability, in order. */
function fingerprintOf(columns: readonly ColumnSchema[]): string {
  return createHash("sha256")
    .update(
      JSON.stringify(
        columns.map(({ name, type, nullable, sourceType }) => [
          name,
          type.kind,
          type.precision ?? null,
          type.scale ?? null,
          nullable,
          sourceType,
        ]),
      ),
    )
    .digest("hex")
    .slice(0, 16);
}

/**
 * The places of a stream's values in protobuf records: all names of its schema in the order of their UTF-16 units, as
 * every peer sorts them for itself.
 */
export function sortFields(names: readonly string[]): readonly string[] {
  // the default order of texts is that of their units
  return names.toSorted();
}

/** How each stream is to be synced. */
export interface StreamModes {
  readonly syncMode: "full_refresh" | "incremental";
  readonly destinationSyncMode: AirbyteConfiguredStream["destination_sync_mode"];
  readonly cursorField?: readonly string[] | null;
  readonly primaryKey?: readonly (readonly string[])[] | null;
  readonly generation: number;
  /** Rows of generations before this one go once the stream is complete; 0: none do. */
  readonly generationMin: number;
  readonly syncId: number;
  /** Its files are handed over with its records. */
  readonly includesFiles?: boolean;
}

export function configureStream(
  stream: AirbyteCatalogStream,
  modes: StreamModes,
): AirbyteConfiguredStream {
  const { cursorField, primaryKey } = modes;
  return {
    stream,
    sync_mode: modes.syncMode,
    destination_sync_mode: modes.destinationSyncMode,
    cursor_field: [...(cursorField ?? stream.default_cursor_field ?? [])],
    primary_key: (primaryKey ?? stream.source_defined_primary_key ?? []).map(
      (path) => [...path],
    ),
    generation_id: modes.generation,
    minimum_generation_id: modes.generationMin,
    sync_id: modes.syncId,
    ...(modes.includesFiles ? { include_files: true } : {}),
  };
}

/** `namespace.name`, or the name alone. */
export function showStream(stream: {
  readonly name: string;
  readonly namespace?: string | null | undefined;
}): string {
  const namespace = namespaceOf(stream);
  return namespace === null ? stream.name : `${namespace}.${stream.name}`;
}
