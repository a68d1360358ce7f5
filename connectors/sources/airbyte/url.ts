/**
 * A foreign source as a URL, which is what every process of ours is told of a source: `airbyte:?image=…&config={…}`.
 * Each setting is a parameter, as JSON or as plain text.
 */
import { createHash } from "node:crypto";
import { ExtractError } from "../../../proto/error.ts";
import { airbyteSettings, type AirbyteSettings } from "./config.ts";

const SCHEME = "airbyte:";
/** Settings that may hold secrets. */
const secrets = ["config", "env", "runtimeArguments"] as const;
/** Of a connector: what it is, and not how it is run. */
const identity = ["command", "image", "config"] as const;

/** @throws ExtractError USAGE naming the setting that is wrong; no value of it is shown */
export function parseAirbyteUrl(url: string): AirbyteSettings {
  if (!/^airbyte:(\?|$)/i.test(url))
    throw usage('a connector is written airbyte:?command=["…"]&config={…}');
  const given: Record<string, unknown> = {};
  for (const [name, value] of new URL(url).searchParams) {
    if (Object.hasOwn(given, name)) throw usage(`${name} is there twice`);
    given[name] = readParameter(value);
  }
  if (typeof given["command"] === "string")
    given["command"] = given["command"]
      .split(" ")
      .filter((word) => word !== "");
  const read = airbyteSettings.safeParse(given);
  if (!read.success) {
    const [issue] = read.error.issues;
    const path = issue?.path.join(".") ?? "";
    throw usage(
      `${path === "" ? "" : `${path}: `}${issue?.message ?? "wrong"}`,
    );
  }
  const { command, image, input } = read.data;
  const count = [command, image, input].filter((one) => one !== undefined);
  if (count.length !== 1)
    throw usage("a connector is a `command` or an `image`, one of them");
  return read.data;
}

export function toAirbyteUrl(settings: AirbyteSettings): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(settings))
    if (value !== undefined) parameters.set(name, JSON.stringify(value));
  return `${SCHEME}?${parameters.toString()}`;
}

/** What is no JSON is text. */
function readParameter(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** What tells one foreign source from another: the connector and its whole configuration. */
export function parseSourceUrl(url: string): {
  readonly host: string;
  readonly port: number;
  readonly database: string;
} {
  const settings = parseAirbyteUrl(url);
  const known = identity.map((name) => settings[name] ?? null);
  const digest = createHash("sha256").update(JSON.stringify(known));
  return {
    host: nameConnector(settings),
    port: 0,
    database: digest.digest("hex").slice(0, 16),
  };
}

/** The connector's name, for people. */
export function nameConnector({
  command,
  image,
  input,
}: AirbyteSettings): string {
  return image ?? command?.join(" ") ?? input?.kind ?? "connector";
}

/** Without what may hold secrets. */
export function redactUrl(url: string): string {
  return removePassword(url);
}

export function removePassword(url: string): string {
  const parameters = new URL(url).searchParams;
  for (const name of secrets) parameters.delete(name);
  return `${SCHEME}?${parameters.toString()}`;
}

/** @param password the configuration, as JSON */
export function putPassword(url: string, password: string): string {
  const parameters = new URL(url).searchParams;
  parameters.set("config", password);
  return `${SCHEME}?${parameters.toString()}`;
}

function usage(message: string): ExtractError {
  return new ExtractError("USAGE", message);
}
