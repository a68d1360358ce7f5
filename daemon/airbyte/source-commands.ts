/** `spec`, `check` and `discover` of our source executables: one message each. */
import { describeStream } from "../../connectors/airbyte/catalog.ts";
import type { DiscoveredStream } from "../../connectors/sources/source.ts";
import type { LogicalKind } from "../../proto/schema.ts";
import { checkSource, discoverSource } from "../inspect-source.ts";
import { toWireError } from "../../proto/error.ts";
import {
  describeSourceSpec,
  type SourceConfig,
  type SourceExecutable,
} from "./source-config.ts";
import { describeLog, writeMessage } from "./stdout.ts";

export async function tellSpec(name: SourceExecutable): Promise<void> {
  await writeMessage({ type: "SPEC", spec: describeSourceSpec(name) });
}

/** A source that cannot be read is an answer, not a failure. */
export async function tellCheck(config: SourceConfig): Promise<void> {
  let connectionStatus: object;
  try {
    await checkSource(config.url);
    connectionStatus = { status: "SUCCEEDED" };
  } catch (error) {
    const { code, message } = toWireError(error);
    connectionStatus = { status: "FAILED", message: `${code}: ${message}` };
  }
  await writeMessage({ type: "CONNECTION_STATUS", connectionStatus });
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
        `${namespace}.${name} is left out: ${message}`,
    ),
  ])
    await writeMessage(describeLog("WARN", warning));
  await writeMessage({
    type: "CATALOG",
    catalog: { streams: streams.map(describe) },
  });
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
