/** The engine that reads a source's log, as the source's URL says. */
import type { LogPlace, SourceLogSettings } from "../../proto/control.ts";
import { ExtractError } from "../../proto/error.ts";
import {
  openEngine,
  provideEnginePrograms,
  type Engine,
} from "../sources/debezium/engine/engine.ts";
import {
  debeziumProperties,
  type TableName,
} from "../sources/debezium/engine/properties.ts";
import type { EngineOffset } from "../sources/debezium/engine/protocol.ts";
import { parseSourceUrl as parsePostgresUrl } from "../sources/postgres/url.ts";
import { findSourceKind } from "../sources/url.ts";

/** Writes a little into the log now and then, so that the slot of a quiet database moves. */
const POSTGRES_HEARTBEAT =
  "SELECT pg_logical_emit_message(false, 'millrace', '')";

export interface OpenLogOptions {
  readonly url: string;
  readonly log: SourceLogSettings;
  readonly from: LogPlace;
  readonly tables: readonly TableName[];
  /** Stands for a value that the source has not sent. */
  readonly unavailableValue: string;
}

/** @throws ExtractError USAGE, SOURCE_LOG_UNSUITABLE, ENGINE_UNAVAILABLE */
export async function openLog(options: OpenLogOptions): Promise<Engine> {
  const { url, log, from, tables, unavailableValue } = options;
  const kind = findSourceKind(url);
  if (kind !== "postgres")
    throw new ExtractError(
      "SOURCE_LOG_UNSUITABLE",
      `the log of a ${kind ?? "such a"} source cannot be followed`,
      {},
    );
  const properties = debeziumProperties({
    kind,
    address: parsePostgresUrl(url),
    slot: log.slot,
    publication: log.publication,
    heartbeatQuery: POSTGRES_HEARTBEAT,
    tables,
    unavailableValue,
  });
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
