/**
 * From single settings, whichever front they come from, to the request of a sync: defaults are filled in here, and
 * settings that contradict each other are found here.
 */
import type {
  CompressionName,
  FormatName,
} from "../connectors/formats/format.ts";
import type { UnrepresentablePolicy } from "../proto/schema.ts";
import { findSourceKind } from "../connectors/sources/url.ts";
import {
  buildDestination,
  destinationKindOf,
  type DestinationKind,
  type DestinationSettings,
} from "./destinations.ts";
import {
  buildBudget,
  type BudgetSettings,
  type FilledColumns,
  type UndecodablePolicy,
} from "./log-request.ts";
import {
  isIncremental,
  requestDefaults,
  type SyncMode,
  type SyncRequest,
} from "./request.ts";

/** What a front has read; what is absent takes its default. */
export interface SyncSettings extends DestinationSettings {
  readonly name?: string;
  readonly url: string;
  readonly format?: FormatName;
  readonly compression?: CompressionName;
  readonly plainEncodings?: boolean;
  readonly mode?: SyncMode | "continuous";
  /** Template with {namespace}. */
  readonly namespace?: string;
  readonly streamPrefix?: string;
  readonly tables?: readonly string[];
  readonly exclude?: readonly string[];
  readonly columns?: readonly string[];
  readonly where?: string;
  readonly cursor?: string;
  readonly cursorLagSeconds?: number;
  readonly channels?: number;
  readonly limits?: SyncRequest["limits"];
  readonly readers?: number;
  readonly attemptsMax?: number;
  readonly checkpointEverySeconds?: number;
  readonly partitionBy?: SyncRequest["partitionBy"];
  readonly partitionBytesMin?: number;
  readonly unrepresentable?: UnrepresentablePolicy;
  readonly schemaChanges?: SyncRequest["schemaChanges"];
  readonly acceptSchemaChanges?: boolean;
  readonly mappers?: SyncRequest["mappers"];
  readonly rowBytesMax?: number;
  readonly restart?: boolean;
  readonly resync?: boolean;
  readonly logBudget?: number;
  readonly logSteps?: BudgetSettings["shareOf"];
  readonly logPatienceMs?: number;
  readonly filledColumns?: FilledColumns;
  readonly transactionId?: boolean;
  readonly onUndecodable?: UndecodablePolicy;
  readonly ledgerPath?: string;
  readonly tracePath?: string;
  readonly snapshotGraceMs?: number;
  readonly probeDeadlineMs?: number;
}

export type SettingName = keyof SyncSettings;

/** How each front calls a setting; null where it has none. */
export const settingNames: Readonly<
  Record<
    SettingName,
    { readonly flag: string; readonly yaml: readonly string[] | null }
  >
> = {
  name: { flag: "[name]", yaml: null },
  url: { flag: "<source-url>", yaml: ["source", "url"] },
  destination: { flag: "<destination>", yaml: ["destination", "path"] },
  foldersBy: { flag: "--folders-by", yaml: ["destination", "foldersBy"] },
  destinationOptions: { flag: "<destination>", yaml: ["destination"] },
  connector: { flag: "<destination>", yaml: ["destination"] },
  pathTemplate: { flag: "--path", yaml: ["destination", "pathTemplate"] },
  fileBytesMax: { flag: "--file-size", yaml: ["destination", "fileSize"] },
  format: { flag: "--format", yaml: ["format"] },
  compression: { flag: "--compression", yaml: ["compression"] },
  plainEncodings: { flag: "--plain-encodings", yaml: ["plainEncodings"] },
  mode: { flag: "--mode", yaml: ["mode"] },
  namespace: { flag: "--namespace", yaml: ["namespace"] },
  streamPrefix: { flag: "--stream-prefix", yaml: ["streamPrefix"] },
  tables: { flag: "--table", yaml: ["tables"] },
  exclude: { flag: "--exclude", yaml: ["exclude"] },
  columns: { flag: "--columns", yaml: ["columns"] },
  where: { flag: "--where", yaml: ["where"] },
  cursor: { flag: "--cursor", yaml: ["cursor"] },
  cursorLagSeconds: { flag: "--cursor-lag", yaml: ["cursorLag"] },
  channels: { flag: "--channels", yaml: ["channels"] },
  limits: { flag: "limits", yaml: ["limits"] },
  readers: { flag: "--readers", yaml: ["readers"] },
  attemptsMax: { flag: "--attempts", yaml: ["attempts"] },
  checkpointEverySeconds: {
    flag: "--checkpoint-every",
    yaml: ["checkpointEvery"],
  },
  partitionBy: { flag: "--partition-by", yaml: ["partitionBy"] },
  partitionBytesMin: { flag: "--partition-size", yaml: ["partitionSize"] },
  unrepresentable: { flag: "--unrepresentable", yaml: ["unrepresentable"] },
  schemaChanges: { flag: "--schema-changes", yaml: ["schemaChanges"] },
  acceptSchemaChanges: { flag: "--accept-schema-changes", yaml: null },
  mappers: { flag: "mappers", yaml: ["mappers"] },
  rowBytesMax: { flag: "--row-bytes-max", yaml: ["rowBytesMax"] },
  restart: { flag: "--restart", yaml: null },
  resync: { flag: "--resync", yaml: null },
  logBudget: { flag: "--log-budget", yaml: ["log", "budget"] },
  logSteps: { flag: "--log-steps", yaml: ["log", "steps"] },
  logPatienceMs: { flag: "--log-patience", yaml: ["log", "patience"] },
  filledColumns: { flag: "--filled-columns", yaml: ["log", "filledColumns"] },
  transactionId: { flag: "--transaction-id", yaml: ["log", "transactionId"] },
  onUndecodable: { flag: "--on-undecodable", yaml: ["log", "onUndecodable"] },
  ledgerPath: { flag: "--ledger", yaml: ["ledger"] },
  tracePath: { flag: "--trace", yaml: ["trace"] },
  snapshotGraceMs: { flag: "--snapshot-grace", yaml: ["snapshotGrace"] },
  probeDeadlineMs: { flag: "--probe-deadline", yaml: ["probeDeadline"] },
};

const logSettings = [
  ...(["resync", "logBudget", "logSteps"] as const),
  ...(["logPatienceMs", "filledColumns"] as const),
  ...(["transactionId", "onUndecodable"] as const),
];

export interface Contradiction {
  readonly setting: SettingName;
  /** A clause that follows the setting's name. */
  readonly reason: string;
}

/** Settings that are fine one by one and make no sense together; all of them, in a fixed order. */
export function findContradictions(
  settings: Partial<SyncSettings>,
): Contradiction[] {
  const found: Contradiction[] = [];
  const { mode } = settings;
  const logged = mode === "cdc" || mode === "continuous";
  if (logged) {
    for (const setting of ["columns", "where", "mappers"] as const) {
      if (settings[setting] !== undefined && settings[setting].length > 0)
        found.push({
          setting,
          reason: `has no meaning yet in the mode ${mode}, which copies tables as they are`,
        });
    }
  } else {
    for (const setting of logSettings)
      if (settings[setting] !== undefined)
        found.push({
          setting,
          reason: "has a meaning only in the modes cdc and continuous",
        });
  }
  const incremental = mode !== "continuous" && isIncremental(mode);
  const isForeign =
    settings.url !== undefined && findSourceKind(settings.url) === "airbyte";
  // a connector of somebody else may know what is new without one
  if (incremental && !isForeign && settings.cursor === undefined) {
    found.push({
      setting: "cursor",
      reason: `is missing: the mode ${settings.mode} needs a cursor column`,
    });
  }
  if (!incremental) {
    for (const setting of ["cursor", "cursorLagSeconds"] as const) {
      if (settings[setting] !== undefined) {
        found.push({
          setting,
          reason: "has a meaning only in the incremental modes",
        });
      }
    }
  }
  const kind =
    settings.destination === undefined
      ? null
      : destinationKindOf(settings.destination);
  if (settings.mode === "incremental-append-dedupe" && isFiles(kind)) {
    found.push({
      setting: "mode",
      reason:
        "incremental-append-dedupe merges rows, which files cannot: write into a database, or take incremental-append",
    });
  }
  if (settings.foldersBy !== undefined && kind !== null && !isFiles(kind)) {
    found.push({
      setting: "foldersBy",
      reason: "has a meaning only for files",
    });
  }
  const format = settings.format ?? requestDefaults.format.format;
  if (settings.plainEncodings === true && format !== "parquet") {
    found.push({
      setting: "plainEncodings",
      reason: `has a meaning only for parquet, and the format is ${format}`,
    });
  }
  if (
    settings.compression === "snappy" &&
    (format === "csv" || format === "jsonl")
  ) {
    found.push({
      setting: "compression",
      reason: `snappy is for parquet and avro; ${format} files take zstd, gzip or none`,
    });
  }
  if (settings.columns !== undefined && !namesOneTable(settings.tables)) {
    found.push({
      setting: "columns",
      reason: "needs exactly one table, named without a wildcard",
    });
  }
  const { channels, readers } = settings;
  if (channels !== undefined && readers !== undefined && readers > channels) {
    found.push({
      setting: "readers",
      reason: `are more than the ${channels} channels they would need`,
    });
  }
  return found;
}

function isFiles(kind: DestinationKind | null): boolean {
  return kind === "file" || kind === "s3";
}

function namesOneTable(tables: readonly string[] | undefined): boolean {
  return tables?.length === 1 && !tables[0]?.includes("*");
}

/** The settings with all defaults. The caller has found no contradictions. */
export function buildRequest(settings: SyncSettings): SyncRequest {
  return {
    name: settings.name ?? requestDefaults.name,
    source: { url: settings.url },
    destination: buildDestination(settings),
    format: {
      format: settings.format ?? requestDefaults.format.format,
      compression: settings.compression ?? requestDefaults.format.compression,
      plainEncodings:
        settings.plainEncodings ?? requestDefaults.format.plainEncodings,
    },
    mode:
      settings.mode === "continuous"
        ? "cdc"
        : (settings.mode ?? requestDefaults.mode),
    naming: {
      namespace: settings.namespace ?? requestDefaults.naming.namespace,
      streamPrefix:
        settings.streamPrefix ?? requestDefaults.naming.streamPrefix,
      // another connector knows no namespace as well
      ...(settings.destination !== undefined &&
      destinationKindOf(settings.destination) === "airbyte"
        ? { unnamed: "" }
        : {}),
    },
    tables: settings.tables ?? requestDefaults.tables,
    exclude: settings.exclude ?? requestDefaults.exclude,
    narrowing: requestDefaults.narrowing,
    columns: settings.columns ?? requestDefaults.columns,
    where: settings.where ?? requestDefaults.where,
    cursor: settings.cursor ?? requestDefaults.cursor,
    cursorLagSeconds:
      settings.cursorLagSeconds ?? requestDefaults.cursorLagSeconds,
    channels: settings.channels ?? requestDefaults.channels,
    limits: settings.limits ?? requestDefaults.limits,
    log: {
      continuous: settings.mode === "continuous",
      checkpointEverySeconds:
        settings.checkpointEverySeconds ??
        requestDefaults.log.checkpointEverySeconds,
      resync: settings.resync ?? requestDefaults.log.resync,
      budget: buildBudget({
        ...(settings.logBudget === undefined
          ? {}
          : { bytes: settings.logBudget }),
        ...(settings.logSteps && { shareOf: settings.logSteps }),
        ...(settings.logPatienceMs === undefined
          ? {}
          : { patienceMs: settings.logPatienceMs }),
      }),
      filledColumns:
        settings.filledColumns ?? requestDefaults.log.filledColumns,
      transactionId:
        settings.transactionId ?? requestDefaults.log.transactionId,
      onUndecodable:
        settings.onUndecodable ?? requestDefaults.log.onUndecodable,
    },
    readers: settings.readers ?? requestDefaults.readers,
    attemptsMax: settings.attemptsMax ?? requestDefaults.attemptsMax,
    checkpointEverySeconds:
      settings.checkpointEverySeconds ?? requestDefaults.checkpointEverySeconds,
    partitionBy: settings.partitionBy ?? requestDefaults.partitionBy,
    partitionBytesMin:
      settings.partitionBytesMin ?? requestDefaults.partitionBytesMin,
    unrepresentable:
      settings.unrepresentable ?? requestDefaults.unrepresentable,
    schemaChanges: settings.schemaChanges ?? requestDefaults.schemaChanges,
    acceptSchemaChanges:
      settings.acceptSchemaChanges ?? requestDefaults.acceptSchemaChanges,
    mappers: settings.mappers ?? requestDefaults.mappers,
    rowBytesMax: settings.rowBytesMax ?? requestDefaults.rowBytesMax,
    restart: settings.restart ?? requestDefaults.restart,
    ledgerPath: settings.ledgerPath ?? requestDefaults.ledgerPath,
    tracePath: settings.tracePath ?? requestDefaults.tracePath,
    snapshotGraceMs:
      settings.snapshotGraceMs ?? requestDefaults.snapshotGraceMs,
    probeDeadlineMs:
      settings.probeDeadlineMs ?? requestDefaults.probeDeadlineMs,
  };
}
