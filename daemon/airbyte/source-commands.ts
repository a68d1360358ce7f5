/** `spec`, `check` and `discover` of our source executables: one message each. */
import { describeStream } from "../../connectors/airbyte/catalog.ts";
import {
  CURSOR_COLUMN,
  recordColumnsOf,
} from "../../connectors/airbyte/change-columns.ts";
import type { DiscoveredStream } from "../../connectors/sources/source.ts";
import type { LogicalKind } from "../../proto/schema.ts";
import { askDoctor } from "../ask-doctor.ts";
import { checkSource, discoverSource } from "../inspect-source.ts";
import { toWireError } from "../../proto/error.ts";
import {
  describeSourceSpec,
  type LogConfig,
  type SourceConfig,
  type SourceExecutable,
} from "./source-config.ts";
import { describeLog, writeMessage } from "./stdout.ts";
import { nameTable } from "../../proto/table-name.ts";

export async function tellSpec(name: SourceExecutable): Promise<void> {
  await writeMessage({ type: "SPEC", spec: describeSourceSpec(name) });
}

/** A source that cannot be read is an answer, not a failure. */
export async function tellCheck(config: SourceConfig): Promise<void> {
  let connectionStatus: object;
  try {
    await checkSource(config.url);
    const lacking = config.log === null ? [] : await findLacking(config);
    connectionStatus =
      lacking.length === 0
        ? { status: "SUCCEEDED" }
        : { status: "FAILED", message: lacking.join("; ") };
  } catch (error) {
    const { code, message } = toWireError(error);
    connectionStatus = { status: "FAILED", message: `${code}: ${message}` };
  }
  await writeMessage({ type: "CONNECTION_STATUS", connectionStatus });
}

/** What change data capture needs and does not find, on this machine and at the source. */
async function findLacking({
  url,
  tables,
}: SourceConfig): Promise<readonly string[]> {
  const { machine, source } = await askDoctor({ url, tables, exclude: [] });
  return [...machine, ...(source ?? [])].flatMap(
    ({ state, name, detail, remedy }) =>
      // a table without a key is offered without its changes
      state !== "missing" || name.startsWith("replica identity")
        ? []
        : [`${name}: ${detail}${remedy === null ? "" : ` (${remedy})`}`],
  );
}

export async function tellCatalog(config: SourceConfig): Promise<void> {
  const { streams, problems, warnings } = await discoverSource(config.url, {
    include: config.tables,
    exclude: [],
    columns: null,
  });
  for (const warning of [
    ...warnings,
    ...problems.map(
      ({ namespace, name, message }) =>
        `${nameTable({ namespace, name })} is left out: ${message}`,
    ),
  ])
    await writeMessage(describeLog("WARN", warning));
  const { log } = config;
  for (const stream of log === null ? [] : streams) {
    const { schema, changes } = stream;
    if (isFollowed(stream, log) && changes?.computedColumns)
      await writeMessage(
        describeLog(
          "WARN",
          `${nameTable(schema)} is offered without ${changes.computedColumns.join(", ")}: the log does not tell of columns that are computed from others`,
        ),
      );
  }
  await writeMessage({
    type: "CATALOG",
    catalog: {
      streams: streams.map((stream) =>
        log === null ? describe(stream) : describeLogged(stream, log),
      ),
    },
  });
}

/** Whether its log says which row was changed. */
function isFollowed(
  { schema, relationKind, changes }: DiscoveredStream,
  log: LogConfig | null,
): boolean {
  const isTable = relationKind === "table" || relationKind === "partitioned";
  const isNamed =
    (schema.key ?? []).length > 0 ||
    (log?.connector === "postgresql" && changes?.beforeImage === "full");
  return isTable && isNamed;
}

/** Incremental are the tables whose log says which row was changed; what it does not tell of is left out. */
function describeLogged(stream: DiscoveredStream, log: LogConfig): object {
  const { schema, key, changes } = stream;
  const supportsIncremental = isFollowed(stream, log);
  const own = new Set(schema.key);
  const untold = new Set(changes?.computedColumns);
  const columns = supportsIncremental
    ? [
        // a deletion may tell of its key alone
        ...schema.columns
          .filter(({ name }) => !untold.has(name))
          .map((column) =>
            own.has(column.name) ? column : { ...column, nullable: true },
          ),
        ...recordColumnsOf(log.connector),
      ]
    : schema.columns;
  const offer = {
    supportsIncremental,
    hasOwnCursor: supportsIncremental,
    isResumable: key !== null && key.columns.every(({ exact }) => exact),
  };
  return {
    ...describeStream({ ...schema, columns }, offer),
    default_cursor_field: supportsIncremental ? [CURSOR_COLUMN] : [],
  };
}

function describe(stream: DiscoveredStream): object {
  return describeStream(stream.schema, {
    supportsIncremental: stream.schema.columns.some(({ type }) =>
      cursorKinds.has(type.kind),
    ),
    hasOwnCursor: false,
    // in the middle of it, by ranges of its key
    isResumable:
      stream.key !== null && stream.key.columns.every(({ exact }) => exact),
  });
}

/** Columns that have a total order. */
const cursorKinds: ReadonlySet<LogicalKind> = new Set<LogicalKind>([
  "int16",
  "int32",
  "int64",
  "uint64",
  "decimal64",
  "decimal128",
  "decimalText",
  "date",
  "timestamp",
  "timestamptz",
  "timestampNs",
  "text",
]);
