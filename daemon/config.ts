/**
 * Reads `millrace.yaml`: YAML, then references to the environment, then the schema, then what contradicts itself. All
 * faults come in one error, each with its line, its path and, for a misspelt key, the nearest valid one.
 */
import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { LineCounter, parseDocument, type Document } from "yaml";
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
import { configSchema, type SyncConfig } from "./config-schema.ts";
import {
  asObject,
  expandEnvironment,
  readSecrets,
  type ConfigFault,
  type ConfigPath,
} from "./config-secrets.ts";
import { putPassword as putDestinationPassword } from "../connectors/destinations/postgres/url.ts";
import { putPassword } from "../connectors/sources/url.ts";
import { parseDestinationRoot } from "./config-values.ts";
import type { DestinationSettings } from "./destinations.ts";

export { buildJsonSchema } from "./config-schema.ts";

const CONFIG_BYTES_MAX = 4 * 1024 * 1024;
/** Aliases that YAML may expand: more is an attack or a mistake. */
const YAML_ALIASES_MAX = 1000;

/**
 * The settings of every sync in a file, by name, in the file's order.
 * @throws ExtractError CONFIG_INVALID naming all faults, or USAGE when the file cannot be read
 */
export function loadConfig(
  file: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Map<string, SyncSettings> {
  const base = dirname(resolve(file));
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
  const settings = readTree(convert(document, file), env, base, faults);
  if (faults.length > 0) {
    throw describeFaults(file, locateFaults(file, faults, document, lines));
  }
  return settings;
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
  base: string,
  faults: ConfigFault[],
): Map<string, SyncSettings> {
  const expanded = expandEnvironment(tree, env, [], faults);
  readSecrets(expanded, base, faults);
  const result = configSchema.safeParse(expanded);
  const settings = new Map<string, SyncSettings>();
  if (!result.success) {
    // A reference that could not be replaced is one fault, not two.
    const known = new Set(faults.map(({ path }) => path.join("\0")));
    faults.push(
      ...result.error.issues
        .flatMap(describeIssue)
        .filter(({ path }) => !known.has(path.join("\0"))),
    );
  }
  const syncs = (expanded as { syncs?: unknown } | null)?.syncs;
  for (const [name, raw] of Object.entries(asObject(syncs))) {
    const path = ["syncs", name];
    if (result.success) {
      const sync = result.data.syncs[name] as SyncConfig;
      const read = readSync(name, sync, base);
      settings.set(name, read);
      reportContradictions(read, path, faults);
    } else {
      // The other faults stand already; these are judged on what is written, as far as it goes.
      reportContradictions(guessSettings(asObject(raw)), path, faults);
    }
  }
  return settings;
}

function readSync(name: string, sync: SyncConfig, base: string): SyncSettings {
  const { source, destination, ledger, trace, ...rest } = sync;
  const {
    attempts,
    cursorLag,
    checkpointEvery,
    partitionSize,
    snapshotGrace,
    probeDeadline,
    ...plain
  } = rest;
  return omitUndefined({
    ...plain,
    name,
    url:
      source.password === undefined
        ? source.url
        : putPassword(source.url, source.password),
    ...readDestination(destination, base),
    attemptsMax: attempts,
    cursorLagSeconds: cursorLag,
    checkpointEverySeconds: checkpointEvery,
    partitionBytesMin: partitionSize,
    snapshotGraceMs: snapshotGrace,
    probeDeadlineMs: probeDeadline,
    ledgerPath: ledger === undefined ? undefined : resolve(base, ledger),
    tracePath: trace === undefined ? undefined : resolve(base, trace),
  });
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
      const { kind: _, url, pathTemplate, fileSize, ...options } = destination;
      return {
        destination: url,
        pathTemplate,
        fileBytesMax: fileSize,
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
