/**
 * Reads `millrace.yaml`: YAML, then references to the environment, then the schema, then what contradicts itself. All
 * faults come in one error, each with its line, its path and, for a misspelt key, the nearest valid one.
 */
import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { LineCounter, parseDocument, type Document } from "yaml";
import { resolveLedger } from "../checkpoint/store/postgres-url.ts";
import { ExtractError } from "../proto/error.ts";
import {
  describeFaults,
  describeIssue,
  locateFaults,
} from "./config-faults.ts";
import {
  findContradictions,
  settingNames,
  type SettingName,
  type SyncSettings,
} from "./config-request.ts";
import {
  readDaemonSettings,
  continuousSchedule,
  readSchedule,
  type DaemonSettings,
  type ScheduleSettings,
} from "./config-daemon.ts";
import { readAfterRun, type AfterRunHook } from "./after-run/config.ts";
import { configSchema, type SyncConfig } from "./config-schema.ts";
import {
  asObject,
  expandEnvironment,
  readSecrets,
  type ConfigFault,
  type ConfigPath,
} from "./config-secrets.ts";
import { putPassword as putDestinationPassword } from "../connectors/destinations/postgres/url.ts";
import { toAirbyteUrl } from "../connectors/sources/airbyte/url.ts";
import { putPassword } from "../connectors/sources/url.ts";
import { parseDestinationRoot } from "./config-values.ts";
import type { DestinationSettings } from "./destinations.ts";

export { buildJsonSchema } from "./config-schema.ts";

const CONFIG_BYTES_MAX = 4 * 1024 * 1024;
/** Aliases that YAML may expand: more is an attack or a mistake. */
const YAML_ALIASES_MAX = 1000;

/** Beside the file, when it has a `daemon`. */
const DAEMON_LEDGER_PATH = ".millrace/ledger.sqlite";

/** All that a file says. */
export interface MillraceConfig {
  /** Absolute. */
  readonly file: string;
  /** An absolute path or a postgres:// URL; null where each sync has a ledger of its own. */
  readonly ledgerPath: string | null;
  /** Null in a file that no daemon is meant to read. */
  readonly daemon: DaemonSettings | null;
  /** By name, in the file's order. */
  readonly syncs: ReadonlyMap<string, SyncSettings>;
  /** Of the syncs that have one. */
  readonly schedules: ReadonlyMap<string, ScheduleSettings>;
  readonly hooks: ReadonlyMap<string, AfterRunHook>;
}

/**
 * The settings of every sync in a file, by name, in the file's order.
 * @throws ExtractError CONFIG_INVALID naming all faults, or USAGE when the file cannot be read
 */
export function loadConfig(
  file: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): ReadonlyMap<string, SyncSettings> {
  return loadMillraceConfig(file, env).syncs;
}

/** @throws ExtractError CONFIG_INVALID naming all faults, or USAGE when the file cannot be read */
export function loadMillraceConfig(
  file: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): MillraceConfig {
  const lines = new LineCounter();
  const document = parseDocument(readConfigText(file), {
    lineCounter: lines,
    prettyErrors: false,
  });
  if (document.errors.length > 0) {
    throw describeFaults(
      file,
      document.errors.map(({ message, pos }) => {
        const { line, col } = lines.linePos(pos[0]);
        return `${file}:${line}:${col} ${message}`;
      }),
    );
  }
  const faults: ConfigFault[] = [];
  const config = readTree(convert(document, file), env, resolve(file), faults);
  if (faults.length > 0) {
    throw describeFaults(file, locateFaults(file, faults, document, lines));
  }
  return config;
}

function readConfigText(file: string): string {
  try {
    const { size } = statSync(file);
    if (size > CONFIG_BYTES_MAX) {
      throw new ExtractError(
        "CONFIG_INVALID",
        `${file} has ${size} bytes; at most ${CONFIG_BYTES_MAX} are read`,
      );
    }
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof ExtractError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const reason =
      code === "ENOENT" ? "does not exist" : `cannot be read (${code ?? "?"})`;
    throw new ExtractError(
      "USAGE",
      `the configuration file ${file} ${reason}`,
      {},
      { cause: error },
    );
  }
}

function convert(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: YAML_ALIASES_MAX });
  } catch (error) {
    throw new ExtractError(
      "CONFIG_INVALID",
      `${file}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function readTree(
  tree: unknown,
  env: Readonly<Record<string, string | undefined>>,
  file: string,
  faults: ConfigFault[],
): MillraceConfig {
  const base = dirname(file);
  const expanded = expandEnvironment(tree, env, [], faults);
  readSecrets(expanded, base, faults);
  const result = configSchema.safeParse(expanded);
  if (!result.success) {
    // A reference that could not be replaced is one fault, not two.
    const known = new Set(faults.map(({ path }) => path.join("\0")));
    faults.push(
      ...result.error.issues
        .flatMap(describeIssue)
        .filter(({ path }) => !known.has(path.join("\0"))),
    );
  }
  const root = asObject(expanded);
  const hasOneLedger = root["ledger"] !== undefined || "daemon" in root;
  const ledgerPath = result.success
    ? chooseLedgerPath(result.data, base)
    : null;
  const syncs = new Map<string, SyncSettings>();
  const schedules = new Map<string, ScheduleSettings>();
  const hooks = new Map<string, AfterRunHook>();
  for (const [name, raw] of Object.entries(asObject(root["syncs"]))) {
    const path = ["syncs", name];
    if (hasOneLedger && asObject(raw)["ledger"] !== undefined) {
      faults.push({
        path: [...path, "ledger"],
        reason: "has no meaning here: the syncs of this file share one ledger",
      });
    }
    if (result.success) {
      const sync = result.data.syncs[name] as SyncConfig;
      const read = readSync(name, sync, base);
      syncs.set(name, ledgerPath === null ? read : { ...read, ledgerPath });
      const schedule =
        readSchedule(sync.schedule) ??
        (read.mode === "continuous" ? continuousSchedule : null);
      if (schedule) schedules.set(name, schedule);
      if (sync.afterRun) hooks.set(name, readAfterRun(sync.afterRun, base));
      reportContradictions(read, path, faults);
    } else {
      // The other faults stand already; these are judged on what is written, as far as it goes.
      reportContradictions(guessSettings(asObject(raw)), path, faults);
    }
  }
  const daemon =
    result.success && result.data.daemon
      ? readDaemonSettings(result.data.daemon)
      : null;
  return { file, ledgerPath, daemon, syncs, schedules, hooks };
}

function chooseLedgerPath(
  {
    ledger,
    daemon,
  }: {
    readonly ledger?: string | undefined;
    readonly daemon?: object | undefined;
  },
  base: string,
): string | null {
  if (ledger === undefined)
    return daemon === undefined ? null : resolve(base, DAEMON_LEDGER_PATH);
  return resolveLedger(ledger, base);
}

function readSync(name: string, sync: SyncConfig, base: string): SyncSettings {
  const {
    source,
    destination,
    ledger,
    trace,
    schedule: _,
    afterRun: __,
    ...rest
  } = sync;
  const {
    attempts,
    cursorLag,
    checkpointEvery,
    partitionSize,
    snapshotGrace,
    probeDeadline,
    limits,
    log,
    ...plain
  } = rest;
  return omitUndefined({
    ...plain,
    name,
    url: readSourceUrl(source, base),
    ...readDestination(destination, base),
    attemptsMax: attempts,
    limits: limits && {
      memoryBytes: limits.memory ?? null,
      cpus: limits.cpus ?? null,
    },
    cursorLagSeconds: cursorLag,
    checkpointEverySeconds: checkpointEvery,
    partitionBytesMin: partitionSize,
    snapshotGraceMs: snapshotGrace,
    probeDeadlineMs: probeDeadline,
    logBudget: log?.budget,
    logSteps: log?.steps,
    logPatienceMs: log?.patience,
    filledColumns: log?.filledColumns,
    transactionId: log?.transactionId,
    onUndecodable: log?.onUndecodable,
    ledgerPath: ledger === undefined ? undefined : resolve(base, ledger),
    tracePath: trace === undefined ? undefined : resolve(base, trace),
  });
}

/** Files that are named stand beside the configuration. */
function readSourceUrl(source: SyncConfig["source"], base: string): string {
  if (!("url" in source)) {
    const { kind: _, catalog, ...connector } = source;
    return toAirbyteUrl({
      ...connector,
      ...(catalog === undefined ? {} : { catalog: resolve(base, catalog) }),
    });
  }
  return source.password === undefined
    ? source.url
    : putPassword(source.url, source.password);
}

function readDestination(
  destination: SyncConfig["destination"],
  base: string,
): { [K in keyof DestinationSettings]: DestinationSettings[K] | undefined } {
  switch (destination.kind) {
    case "file": {
      const { path, pathTemplate, fileSize, foldersBy } = destination;
      return {
        destination: parseDestinationRoot(path, base),
        pathTemplate,
        fileBytesMax: fileSize,
        foldersBy,
      };
    }
    case "s3": {
      const {
        kind: _,
        url,
        pathTemplate,
        fileSize,
        foldersBy,
        ...options
      } = destination;
      return {
        destination: url,
        pathTemplate,
        fileBytesMax: fileSize,
        foldersBy,
        destinationOptions: omitUndefined(options),
      };
    }
    case "postgres": {
      const { kind: _, url, password, ...options } = destination;
      return {
        destination:
          password === undefined ? url : putDestinationPassword(url, password),
        destinationOptions: omitUndefined(options),
      };
    }
    default:
      // who it is, is in what it is started with
      return { destination: "airbyte:", connector: destination };
  }
}

function omitUndefined<T extends object>(
  object: T,
): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(object);
  return Object.fromEntries(
    entries.filter(([, value]) => value !== undefined),
  ) as { [K in keyof T]: Exclude<T[K], undefined> };
}

/** What findContradictions needs, from a sync that the schema refused. */
function guessSettings(raw: Record<string, unknown>): Partial<SyncSettings> {
  const modes: Record<string, SyncSettings["mode"]> = {
    incremental: "incremental-append",
    "incremental-append": "incremental-append",
    dedupe: "incremental-append-dedupe",
    "incremental-append-dedupe": "incremental-append-dedupe",
    cdc: "cdc",
    continuous: "continuous",
  };
  return omitUndefined({
    mode: modes[String(raw["mode"])],
    cursor: raw["cursor"] === undefined ? undefined : "given",
  }) as Partial<SyncSettings>;
}

function reportContradictions(
  settings: Partial<SyncSettings>,
  path: ConfigPath,
  faults: ConfigFault[],
): void {
  for (const { setting, reason } of findContradictions(settings)) {
    faults.push({ path: [...path, ...pathOf(setting)], reason });
  }
}

function pathOf(setting: SettingName): readonly string[] {
  return settingNames[setting].yaml ?? [];
}
