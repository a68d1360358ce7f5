/** From what was typed to the request of a sync. */
import { existsSync } from "node:fs";
import { ExtractError } from "../../proto/error.ts";
import {
  buildRequest,
  findContradictions,
  settingNames,
  type SyncSettings,
} from "../config-request.ts";
import {
  InvalidValue,
  parseDestination,
  parseSourceKind,
} from "../config-values.ts";
import { configOf } from "../destinations.ts";
import type { SyncRequest } from "../request.ts";
import { readSettings, type SyncOptions } from "./options.ts";
import { coverArguments } from "./terminal.ts";

const CONFIG_FILE = "millrace.yaml";

export function usage(
  message: string,
  help?: string,
  cause?: unknown,
): ExtractError {
  const details = help === undefined ? {} : { help };
  return new ExtractError("USAGE", message, details, { cause });
}

/** Turns a refused value into a usage error that names it, with any password covered. */
function readArgument<T>(text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw usage(`'${coverArguments(text)}' ${error.message}`);
  }
}

/** @throws ExtractError USAGE naming what is supported, for what is no source's URL */
export function readSourceUrl(text: string): string {
  readArgument(text, parseSourceKind);
  return text.replace(/^[a-z][a-z0-9+.-]*:/i, (scheme) => scheme.toLowerCase());
}

/** The absolute folder, or the URL as it is. */
export function readDestination(text: string): string {
  return readArgument(text, (value) => parseDestination(value, process.cwd()));
}

/**
 * The request of `sync`: from source and destination, or from a configuration file, with the options laid over it.
 * @throws ExtractError USAGE or CONFIG_INVALID
 */
export async function readRequest(
  source: string | undefined,
  destination: string | undefined,
  options: SyncOptions,
): Promise<SyncRequest> {
  const base =
    options.file === undefined
      ? readArguments(source, destination)
      : await chooseSync(options.file, source, destination);
  const given = readSettings(options, process.cwd());
  const settings: SyncSettings = { ...base, ...given };
  const contradiction = findContradictions(settings)[0];
  if (contradiction !== undefined) {
    const { flag } = settingNames[contradiction.setting];
    throw usage(`${flag} ${contradiction.reason}`);
  }
  const request = buildRequest(settings);
  // a URL that its connector refuses is wrong use, and said before anything begins
  await configOf(request);
  return request;
}

function readArguments(
  source: string | undefined,
  destination: string | undefined,
): SyncSettings {
  if (source === undefined) {
    throw usage(
      "source and destination are missing",
      existsSync(CONFIG_FILE)
        ? `\`millrace sync -f ${CONFIG_FILE}\` runs what that file names.`
        : "`millrace sync <source-url> <destination>`, e.g. `millrace sync postgres://me@localhost/shop ./out`.",
    );
  }
  const url = readSourceUrl(source);
  if (destination === undefined) {
    throw usage(
      "the destination is missing",
      "Name a folder behind the source URL, e.g. ./out.",
    );
  }
  return { url, destination: readDestination(destination) };
}

/** The settings of the sync that is named, or of the only one. */
export async function chooseSync(
  file: string,
  name: string | undefined,
  excess: string | undefined,
): Promise<SyncSettings> {
  if (excess !== undefined || name?.includes("://")) {
    throw usage(
      "with -f, source and destination come from the file; only the name of a sync may follow",
    );
  }
  const { loadConfig } = await import("../config.ts");
  const syncs = loadConfig(file);
  const names = [...syncs.keys()];
  if (name === undefined) {
    const only = names.length === 1 ? syncs.get(names[0] ?? "") : undefined;
    if (only !== undefined) return only;
    throw usage(
      `${file} holds ${names.length} syncs`,
      `Name one of them: ${names.join(", ")}.`,
    );
  }
  const found = syncs.get(name);
  if (found !== undefined) return found;
  const { nearestNames } = await import("../../proto/nearest.ts");
  const nearest = nearestNames(name, names)[0];
  throw usage(
    `${file} holds no sync '${name}'${nearest === undefined ? "" : `; did you mean ${nearest}?`}`,
    `It holds ${names.join(", ")}.`,
  );
}
