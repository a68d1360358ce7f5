/**
 * The messages of the Airbyte protocol, version 0: one JSON object a message. What comes from a peer is checked here,
 * once, before anybody believes it; whatever the protocol does not name stays in the object and is ignored, as it says.
 * Rows are not read here but where they are decoded: a record's `data` stays what it is.
 * @see airbytehq/airbyte-protocol, `airbyte_protocol.yaml`
 */
import { z } from "zod";
import { ExtractError } from "../../proto/error.ts";
import { parseExact, unwrapNumber } from "./exact-json.ts";

/** A number, whatever it was written like. */
const number = z.preprocess(unwrapNumber, z.number());
const count = z.preprocess(unwrapNumber, z.number().int().min(0));

/** A namespace that is left out, null or empty is none. */
const streamDescriptor = z.looseObject({
  name: z.string().min(1),
  namespace: z.string().nullish(),
});

const stats = z.looseObject({
  recordCount: count.optional(),
  rejectedRecordCount: count.optional(),
  additionalStats: z.record(z.string(), z.unknown()).nullish(),
});

const streamState = z.looseObject({
  stream_descriptor: streamDescriptor,
  /** The connector's own; absent where a stream has none any more. */
  stream_state: z.unknown().optional(),
});

const state = z.looseObject({
  /** Absent: LEGACY. */
  type: z.enum(["STREAM", "GLOBAL", "LEGACY"]).optional(),
  stream: streamState.nullish(),
  global: z
    .looseObject({
      shared_state: z.unknown().optional(),
      stream_states: z.array(streamState),
    })
    .nullish(),
  data: z.unknown().optional(),
  sourceStats: stats.nullish(),
  destinationStats: stats.nullish(),
  /** In socket mode: from 1, each one more, of a stream or of all. */
  id: z.preprocess(unwrapNumber, z.number().int().min(1)).nullish(),
  partition_id: z.string().min(1).nullish(),
});

const recordChange = z.looseObject({
  field: z.string(),
  change: z.string(),
  reason: z.string(),
});

const record = z.looseObject({
  stream: z.string().min(1),
  namespace: z.string().nullish(),
  data: z.record(z.string(), z.unknown()),
  emitted_at: number,
  meta: z.looseObject({ changes: z.array(recordChange).nullish() }).nullish(),
  partition_id: z.string().min(1).nullish(),
  file_reference: z
    .looseObject({
      staging_file_url: z.string().min(1),
      source_file_relative_path: z.string().min(1),
      file_size_bytes: count,
    })
    .nullish(),
});

const trace = z.looseObject({
  type: z.enum(["ERROR", "ESTIMATE", "STREAM_STATUS", "ANALYTICS"]),
  emitted_at: number,
  error: z
    .looseObject({
      message: z.string(),
      internal_message: z.string().nullish(),
      stack_trace: z.string().nullish(),
      failure_type: z
        .enum(["system_error", "config_error", "transient_error"])
        .nullish(),
      stream_descriptor: streamDescriptor.nullish(),
    })
    .nullish(),
  estimate: z
    .looseObject({
      name: z.string().nullish(),
      type: z.enum(["STREAM", "SYNC"]),
      namespace: z.string().nullish(),
      row_estimate: count.nullish(),
      byte_estimate: count.nullish(),
    })
    .nullish(),
  stream_status: z
    .looseObject({
      stream_descriptor: streamDescriptor,
      status: z.enum(["STARTED", "RUNNING", "COMPLETE", "INCOMPLETE"]),
    })
    .nullish(),
});

const log = z.looseObject({
  level: z.enum(["FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"]),
  message: z.string(),
  stack_trace: z.string().nullish(),
});

const spec = z.looseObject({
  connectionSpecification: z.record(z.string(), z.unknown()),
  documentationUrl: z.string().nullish(),
  changelogUrl: z.string().nullish(),
  supportsIncremental: z.boolean().nullish(),
  supported_destination_sync_modes: z.array(z.string()).nullish(),
  protocol_version: z.string().nullish(),
});

const connectionStatus = z.looseObject({
  status: z.enum(["SUCCEEDED", "FAILED"]),
  message: z.string().nullish(),
});

const catalogStream = z.looseObject({
  name: z.string().min(1),
  namespace: z.string().nullish(),
  json_schema: z.record(z.string(), z.unknown()),
  supported_sync_modes: z
    .array(z.enum(["full_refresh", "incremental"]))
    .nullish(),
  source_defined_cursor: z.boolean().nullish(),
  default_cursor_field: z.array(z.string()).nullish(),
  source_defined_primary_key: z.array(z.array(z.string())).nullish(),
  is_resumable: z.boolean().nullish(),
  is_file_based: z.boolean().nullish(),
});

const catalog = z.looseObject({ streams: z.array(catalogStream) });

const generation = z
  .preprocess(unwrapNumber, z.number().int().min(0))
  .nullish();

const configuredCatalog = z.looseObject({
  streams: z.array(
    z.looseObject({
      stream: catalogStream,
      sync_mode: z.enum(["full_refresh", "incremental"]),
      destination_sync_mode: z.enum([
        "append",
        "overwrite",
        "append_dedup",
        "update",
        "soft_delete",
      ]),
      cursor_field: z.array(z.string()).nullish(),
      primary_key: z.array(z.array(z.string())).nullish(),
      generation_id: generation,
      minimum_generation_id: generation,
      sync_id: generation,
      include_files: z.boolean().nullish(),
    }),
  ),
});

const control = z.looseObject({
  type: z.literal("CONNECTOR_CONFIG"),
  emitted_at: number,
  connectorConfig: z.looseObject({
    config: z.record(z.string(), z.unknown()),
  }),
});

const destinationCatalog = z.looseObject({
  operations: z.array(z.record(z.string(), z.unknown())),
});

/** The member that holds a message's body, and what it has to be, by the message's type. */
const bodies = {
  RECORD: ["record", record],
  STATE: ["state", state],
  LOG: ["log", log],
  TRACE: ["trace", trace],
  CONTROL: ["control", control],
  SPEC: ["spec", spec],
  CONNECTION_STATUS: ["connectionStatus", connectionStatus],
  CATALOG: ["catalog", catalog],
  DESTINATION_CATALOG: ["destination_catalog", destinationCatalog],
} as const;

export type AirbyteState = z.infer<typeof state>;
export type AirbyteRecord = z.infer<typeof record>;
export type AirbyteTrace = z.infer<typeof trace>;
export type AirbyteLog = z.infer<typeof log>;
export type AirbyteSpec = z.infer<typeof spec>;
export type AirbyteConnectionStatus = z.infer<typeof connectionStatus>;
export type AirbyteCatalogStream = z.infer<typeof catalogStream>;
export type AirbyteCatalog = z.infer<typeof catalog>;
export type AirbyteConfiguredCatalog = z.infer<typeof configuredCatalog>;
export type AirbyteConfiguredStream =
  AirbyteConfiguredCatalog["streams"][number];
export type AirbyteControl = z.infer<typeof control>;
export type AirbyteDestinationCatalog = z.infer<typeof destinationCatalog>;

export type AirbyteMessage =
  | { readonly type: "RECORD"; readonly record: AirbyteRecord }
  | { readonly type: "STATE"; readonly state: AirbyteState }
  | { readonly type: "LOG"; readonly log: AirbyteLog }
  | { readonly type: "TRACE"; readonly trace: AirbyteTrace }
  | { readonly type: "CONTROL"; readonly control: AirbyteControl }
  | { readonly type: "SPEC"; readonly spec: AirbyteSpec }
  | {
      readonly type: "CONNECTION_STATUS";
      readonly connectionStatus: AirbyteConnectionStatus;
    }
  | { readonly type: "CATALOG"; readonly catalog: AirbyteCatalog }
  | {
      readonly type: "DESTINATION_CATALOG";
      readonly destination_catalog: AirbyteDestinationCatalog;
    };

/** A type that the protocol has, or may have some day. */
export interface UnknownMessage {
  readonly type: "UNKNOWN";
  readonly name: string;
}

/** What a peer has written to its stdout that is no message: connectors print, against the protocol, and say so there. */
export interface NoMessage {
  readonly type: "NONE";
  readonly text: string;
}

/** Characters of a peer's line that an error or a log entry shows. */
const SHOWN_CHARS_MAX = 200;

/**
 * Reads one line of a peer, or one message inside of an envelope. Numbers keep their texts (`unwrapNumber`).
 * A line that is no JSON object with a type is told apart from one that claims to be a message and is none.
 * @throws ExtractError CONNECTOR_MESSAGE_INVALID with what is wrong and where, never with the whole line
 */
export function readMessage(
  text: string,
): AirbyteMessage | UnknownMessage | NoMessage {
  let value: unknown;
  try {
    value = parseExact(text);
  } catch (cause) {
    // `{"type": "STATE", …` cut in two must not pass for something that was printed
    if (/^\s*\{\s*"/.test(text)) throw invalidMessage("no JSON", text, cause);
    return { type: "NONE", text: showText(text) };
  }
  if (!isTyped(value)) return { type: "NONE", text: showText(text) };
  if (!Object.hasOwn(bodies, value.type))
    return { type: "UNKNOWN", name: showText(value.type) };
  const [member, schema] = bodies[value.type as keyof typeof bodies];
  const body: unknown = (value as Record<string, unknown>)[member];
  const read = schema.safeParse(body);
  if (!read.success)
    throw invalidMessage(describeFault(member, read.error), text);
  return { type: value.type, [member]: read.data } as unknown as AirbyteMessage;
}

/** @throws ExtractError CONNECTOR_MESSAGE_INVALID */
export function readCatalog(value: unknown): AirbyteCatalog {
  return readBody("catalog", catalog, value);
}

/** @throws ExtractError CONNECTOR_MESSAGE_INVALID */
export function readConfiguredCatalog(
  value: unknown,
): AirbyteConfiguredCatalog {
  return readBody("catalog", configuredCatalog, value);
}

/**
 * The states that a platform gives: a list of STATE bodies, or, of the first protocol, one object without a type.
 * @throws ExtractError CONNECTOR_MESSAGE_INVALID
 */
export function readStates(value: unknown): readonly AirbyteState[] {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return readBody("state", z.array(state), value);
  const one = readBody("state", state, value);
  if (one.type !== undefined) return [one];
  return Object.keys(one).length === 0 ? [] : [{ type: "LEGACY", data: value }];
}

/** Null where a stream is in no namespace. */
export function namespaceOf({
  namespace,
}: {
  readonly namespace?: string | null | undefined;
}): string | null {
  return namespace === undefined || namespace === "" ? null : namespace;
}

/** @throws ExtractError CONNECTOR_MESSAGE_INVALID */
function readBody<Schema extends z.ZodType>(
  name: string,
  schema: Schema,
  value: unknown,
): z.infer<Schema> {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  throw invalidMessage(describeFault(name, read.error), "");
}

function isTyped(value: unknown): value is { readonly type: string } {
  return (
    typeof value === "object" &&
    value !== null &&
    "type" in value &&
    typeof value.type === "string"
  );
}

function describeFault(body: string, { issues }: z.ZodError): string {
  const [first] = issues;
  const path = [body, ...(first?.path ?? [])].join(".");
  return `${path}: ${first?.message ?? "not what it should be"}`;
}

export function invalidMessage(
  reason: string,
  text: string,
  cause?: unknown,
): ExtractError {
  return new ExtractError(
    "CONNECTOR_MESSAGE_INVALID",
    `a message of the connector cannot be read: ${reason}`,
    { reason, begin: showText(text) },
    cause === undefined ? undefined : { cause },
  );
}

function showText(text: string): string {
  return text.length > SHOWN_CHARS_MAX
    ? `${text.slice(0, SHOWN_CHARS_MAX)}…`
    : text;
}
