/**
 * A foreign source as a URL, which is what every process of ours is told of a source: `airbyte:?image=…&config={…}`.
 * Each setting is a parameter, as JSON or as plain text. No schema library here: every process reads URLs, and
 * `config.ts` checks what stands in this one where it is used.
 */
import { createHash } from "node:crypto";
import { ExtractError } from "../../../proto/error.ts";
import type { AirbyteSettings } from "./config.ts";

const SCHEME = "airbyte:";
/** Settings that may hold secrets. */
const secrets = ["config", "env", "runtimeArguments"] as const;
/** Stands for a configuration that was taken out, and tells it from another. */
const DIGEST = "configDigest";

/** Settings by their names, as they stand in the URL. @throws ExtractError USAGE */
export function readParameters(url: string): Record<string, unknown> {
  if (!/^airbyte:(\?|$)/i.test(url))
    throw usage('a connector is written airbyte:?command=["…"]&config={…}');
  const given: Record<string, unknown> = {};
  for (const [name, value] of new URL(url).searchParams) {
    if (Object.hasOwn(given, name)) throw usage(`${name} is there twice`);
    given[name] = readParameter(value);
  }
  const { command, image, input } = given;
  if (typeof command === "string")
    given["command"] = command.split(" ").filter((word) => word !== "");
  if ([command, image, input].filter((one) => one !== undefined).length !== 1)
    throw usage("a connector is a `command` or an `image`, one of them");
  return given;
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

function digestOf(config: unknown): string {
  return createHash("sha256")
    .update(JSON.stringify(config ?? null))
    .digest("hex")
    .slice(0, 16);
}

/** What tells one foreign source from another: the connector and its whole configuration. */
export function parseSourceUrl(url: string): {
  readonly host: string;
  readonly port: number;
  readonly database: string;
} {
  const {
    command,
    image,
    input,
    config,
    [DIGEST]: digest,
  } = readParameters(url);
  const words = [
    image,
    Array.isArray(command) ? command.join(" ") : null,
    (input as { readonly kind?: unknown } | undefined)?.kind,
  ];
  const program = words.find((word) => typeof word === "string") ?? "";
  return {
    host: program,
    port: 0,
    database: typeof digest === "string" ? digest : digestOf(config),
  };
}

/** The connector's name, for people. */
export function nameConnector({
  command,
  image,
  input,
}: Pick<AirbyteSettings, "command" | "image" | "input">): string {
  return image ?? command?.join(" ") ?? input?.kind ?? "connector";
}

/** Without what may hold secrets. */
export function redactUrl(url: string): string {
  return removePassword(url);
}

export function removePassword(url: string): string {
  const parameters = new URL(url).searchParams;
  const config = parameters.get("config");
  if (config !== null)
    parameters.set(DIGEST, JSON.stringify(digestOf(readParameter(config))));
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
