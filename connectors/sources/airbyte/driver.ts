/**
 * A foreign source as the processes use it: what it has is asked of its `discover`, and all its streams are read
 * together, by one `read` whose messages go over one channel. Nothing is planned but that.
 */
import { readFileSync } from "node:fs";
import { askConnector } from "../../airbyte/ask-connector.ts";
import { readStreamSchema, showStream } from "../../airbyte/catalog.ts";
import { parseExact } from "../../airbyte/exact-json.ts";
import {
  namespaceOf,
  readCatalog,
  readConfiguredCatalog,
  type AirbyteCatalogStream,
  type AirbyteConfiguredStream,
} from "../../airbyte/messages.ts";
import { ExtractError } from "../../../proto/error.ts";
import { holdNothing } from "../hold-nothing.ts";
import { columnNotFound, selectRelations } from "../selection.ts";
import type {
  DiscoveredStream,
  Discovery,
  SourceDriver,
  StreamPlan,
  StreamSelection,
} from "../source.ts";
import { DEFAULTS, type AirbyteSettings } from "./config.ts";
import { FILE_COLUMN } from "../../airbyte/file-reference.ts";
import { addMetaColumns, type OwnColumn } from "./record-columns.ts";
import { readParameters, redactUrl } from "./url.ts";

/** A discovery may look at every file of a bucket. */
const ANSWER_MS_MAX = 30 * 60_000;

/** What travels with a discovered stream to where it is read. */
export interface ForeignStream extends DiscoveredStream {
  readonly catalog: AirbyteCatalogStream;
  /** The columns behind its own. */
  readonly added: readonly OwnColumn[];
}

export type OnLog = (line: string) => void;

/** @throws ExtractError CONNECTOR_CONFIG_ERROR with what the connector says, and as `askConnector` */
export async function checkForeign(
  settings: AirbyteSettings,
  onLog: OnLog,
): Promise<void> {
  if (settings.input) return;
  const { connectionStatus } = await askConnector({
    program: settings,
    role: "source",
    verb: "check",
    files: { config: JSON.stringify(settings.config ?? {}) },
    deadlineMs: ANSWER_MS_MAX,
    onLog,
  });
  if (connectionStatus.status === "SUCCEEDED") return;
  throw new ExtractError(
    "CONNECTOR_CONFIG_ERROR",
    `the source's check has failed: ${connectionStatus.message ?? "it does not say why"}`,
    { role: "source" },
  );
}

/** @throws ExtractError */
export async function discoverForeign(
  settings: AirbyteSettings,
  selection: StreamSelection,
  onLog: OnLog,
): Promise<Discovery> {
  const streams = await readStreams(settings, onLog);
  const names = streams.map(({ stream, copiesFiles }) => ({
    schema: namespaceOf(stream) ?? "",
    name: stream.name,
    pathPosition: 1,
    parents: [],
    fromExtension: false,
    stream,
    copiesFiles,
  }));
  const { relations, warnings } = selectRelations(names, selection);
  return {
    serverVersion: 0,
    streams: relations.map(({ stream, copiesFiles }, index) => {
      const added: OwnColumn[] = [
        ...(settings.meta ?? []),
        ...(copiesFiles ? ([FILE_COLUMN] as const) : []),
      ];
      return describe(stream, index + 1, settings, { ...selection, added });
    }),
    problems: [],
    warnings,
  };
}

interface OfferedStream {
  readonly stream: AirbyteCatalogStream;
  readonly copiesFiles: boolean;
}

async function readStreams(
  settings: AirbyteSettings,
  onLog: OnLog,
): Promise<readonly OfferedStream[]> {
  if (settings.configured)
    return readConfiguredCatalog(settings.configured).streams.map(
      describeConfigured,
    );
  const streams = await readCatalogStreams(settings, onLog);
  return streams.map((stream) => ({
    stream,
    copiesFiles: settings.files === true && stream.is_file_based === true,
  }));
}

function describeConfigured({
  stream,
  primary_key: key,
  include_files: included,
}: AirbyteConfiguredStream): OfferedStream {
  return {
    stream: key?.length
      ? { ...stream, source_defined_primary_key: key }
      : stream,
    copiesFiles: included === true,
  };
}

async function readCatalogStreams(
  settings: AirbyteSettings,
  onLog: OnLog,
): Promise<readonly AirbyteCatalogStream[]> {
  if (settings.catalog !== undefined)
    return readCatalog(readJson(settings.catalog)).streams;
  if (settings.input)
    throw new ExtractError(
      "USAGE",
      "who reads messages from others is told of their streams by `catalog` or `configured`",
    );
  const { catalog } = await askConnector({
    program: settings,
    role: "source",
    verb: "discover",
    files: { config: JSON.stringify(settings.config ?? {}) },
    deadlineMs: ANSWER_MS_MAX,
    onLog,
  });
  return catalog.streams;
}

/** @throws ExtractError CONFIG_INVALID */
function readJson(path: string): unknown {
  try {
    const read: unknown = parseExact(readFileSync(path, "utf8"));
    // as `discover` prints it, or what it holds
    return typeof read === "object" && read !== null && "catalog" in read
      ? read.catalog
      : read;
  } catch (cause) {
    throw new ExtractError(
      "CONFIG_INVALID",
      `the catalog ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      { path },
      { cause },
    );
  }
}

function describe(
  stream: AirbyteCatalogStream,
  number: number,
  settings: AirbyteSettings,
  {
    columns,
    heldColumns,
    added,
  }: StreamSelection & { readonly added: readonly OwnColumn[] },
): ForeignStream {
  const place = { schema: namespaceOf(stream) ?? "", name: stream.name };
  const options = { number, numbers: settings.numbers ?? DEFAULTS.numbers };
  const whole = readStreamSchema(stream, options);
  const names = whole.columns.map(({ name }) => name);
  for (const name of columns ?? [])
    if (!names.includes(name)) throw columnNotFound(place, name, names);
  const held = heldColumns?.find(
    ({ namespace, name }) => namespace === place.schema && name === place.name,
  );
  const chosen = readStreamSchema(stream, {
    ...options,
    columns: columns ?? held?.columns ?? null,
  });
  const schema = addMetaColumns(chosen, added);
  return {
    schema,
    columns: schema.columns.map(({ name }) => name),
    relationKind: "table",
    leaves: [
      {
        oid: 0,
        ...place,
        only: false,
        heap: false,
        fileNode: 0,
        pages: 0,
        rowEstimate: -1,
      },
    ],
    key: null,
    allColumnNames: names,
    catalog: stream,
    added,
  };
}

/** One partition for each socket: rows of a partition keep their order, and those of two sockets have none. */
export function planForeign(
  { schema, catalog }: ForeignStream,
  lanes: number,
): StreamPlan {
  const partitions = Array.from({ length: lanes }, (_, ordinal) => ({
    stream: schema.number,
    ordinal,
    relation: { schema: schema.namespace, name: schema.name, oid: 0 },
    only: false,
    split: { kind: "log", after: "", snapshot: null } as const,
    estimatedRows: 0,
    estimatedBytes: 0,
  }));
  return {
    plan: {
      stream: schema.number,
      rung: "log",
      reason: `The source gives ${showStream(catalog)} in its own order, ${lanes === 1 ? "in one piece" : `over ${lanes} sockets`}.`,
      partitions,
      estimatedRows: 0,
      estimatedBytes: 0,
    },
    window: null,
  };
}

/** For who keeps a snapshot: there is none to be kept, and its process reads no rows. */
export const airbyteDriver: SourceDriver = {
  joins: "any-time",
  connect: () =>
    Promise.reject(new Error("a foreign source is read by its own process")),
  canSplit: () => false,
  narrow() {
    throw new ExtractError(
      "TRIGGER_INVALID",
      "records of a foreign connector cannot be narrowed to some",
    );
  },
  async holdSnapshot(url) {
    readParameters(url);
    return holdNothing({ id: "airbyte", visible: redactUrl(url) });
  },
};
