/** The engine that reads a source's log, as the source's URL says. */
import type {
  LogConnector,
  LogPlace,
  SourceLogSettings,
} from "../../proto/control.ts";
import {
  openEngine,
  provideEnginePrograms,
  type Engine,
} from "../sources/debezium/engine/engine.ts";
import {
  debeziumProperties,
  type LogSettings,
  type TableName,
} from "../sources/debezium/engine/properties.ts";
import type { EngineOffset } from "../sources/debezium/engine/protocol.ts";
import { chooseReaderId } from "../sources/mysql/reader-id.ts";
import { parseSourceUrl as parseMysqlUrl } from "../sources/mysql/url.ts";
import { parseSourceUrl as parsePostgresUrl } from "../sources/postgres/url.ts";

/** Writes a little into the log now and then, so that the slot of a quiet database moves. */
const POSTGRES_HEARTBEAT =
  "SELECT pg_logical_emit_message(false, 'millrace', '')";

export interface OpenLogOptions {
  readonly url: string;
  readonly connector: Exclude<LogConnector, "connect">;
  readonly log: SourceLogSettings;
  readonly from: LogPlace;
  readonly tables: readonly TableName[];
  /** Stands for a value that the source has not sent. */
  readonly unavailableValue: string;
}

/** @throws ExtractError USAGE, SOURCE_LOG_UNSUITABLE, ENGINE_UNAVAILABLE */
export async function openLog(options: OpenLogOptions): Promise<Engine> {
  const { from } = options;
  const properties = debeziumProperties(describeLog(options));
  const programs = await provideEnginePrograms();
  return openEngine(
    {
      properties,
      offset: from.offset as EngineOffset | null,
      history: from.history,
    },
    programs,
  );
}

function describeLog({
  url,
  connector,
  log,
  tables,
  unavailableValue,
}: OpenLogOptions): LogSettings {
  const common = { tables, unavailableValue };
  if (connector === "postgresql")
    return {
      ...common,
      kind: "postgres",
      address: parsePostgresUrl(url),
      slot: log.slot,
      publication: log.publication,
      heartbeatQuery: POSTGRES_HEARTBEAT,
    };
  return {
    ...common,
    kind: connector,
    address: parseMysqlUrl(url),
    serverId: chooseReaderId(log.slot),
    // the keeper has read them under the lock under which it has read the place
    definitions: "history",
  };
}
