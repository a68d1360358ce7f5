/**
 * References in the configuration: `${NAME}` in any text is the environment's value (`$${` is a plain `${`), and a
 * secret that reads `file:PATH` is the content of that file. What they stand for never enters a message.
 */
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { kafkaSecretPaths } from "./triggers/config.ts";

export type ConfigPath = readonly (string | number)[];

export interface ConfigFault {
  readonly path: ConfigPath;
  readonly reason: string;
}

const SECRET_FILE_BYTES_MAX = 65_536;
const reference = /\$(\$?)\{([^}]*)\}/g;

/**
 * A copy of a YAML tree with all environment references replaced. What cannot be replaced becomes a fault, and stays
 * as it is written.
 */
export function expandEnvironment(
  node: unknown,
  env: Readonly<Record<string, string | undefined>>,
  path: ConfigPath,
  faults: ConfigFault[],
): unknown {
  if (typeof node === "string") return expandText(node, env, path, faults);
  if (Array.isArray(node)) {
    return node.map((item, i) =>
      expandEnvironment(item, env, [...path, i], faults),
    );
  }
  if (node !== null && typeof node === "object") {
    return Object.fromEntries(
      Object.entries(node).map(([key, value]) => [
        key,
        expandEnvironment(value, env, [...path, key], faults),
      ]),
    );
  }
  return node;
}

function expandText(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
  path: ConfigPath,
  faults: ConfigFault[],
): string {
  return text.replace(reference, (whole, escaped: string, name: string) => {
    if (escaped !== "") return whole.slice(1);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      faults.push({ path, reason: `${whole} is no environment reference` });
      return whole;
    }
    const value = env[name];
    if (value === undefined) {
      faults.push({
        path,
        reason: `the environment variable ${name} is not set`,
      });
      return whole;
    }
    return value;
  });
}

/** Replaces, in a tree that is expanded, the secrets that are kept in files. */
export function readSecrets(
  tree: unknown,
  base: string,
  faults: ConfigFault[],
): void {
  const root = asObject(tree);
  const ofSyncs = Object.entries(asObject(root["syncs"])).flatMap(
    ([name, sync]) =>
      listSecrets(asObject(sync)).map((place) => ({
        ...place,
        path: ["syncs", name, ...place.path],
      })),
  );
  for (const { holder, keys, path } of [
    ...listDaemonSecrets(root),
    ...ofSyncs,
  ]) {
    for (const key of keys) {
      const text = holder[key];
      if (typeof text !== "string" || !text.startsWith("file:")) continue;
      holder[key] = readSecret(text, base, [...path, key], faults);
    }
  }
}

interface SecretPlace {
  readonly holder: Record<string, unknown>;
  readonly keys: readonly string[];
  readonly path: ConfigPath;
}

/** The ledger's URL, the tokens of the API, and the login at the broker. */
function listDaemonSecrets(root: Record<string, unknown>): SecretPlace[] {
  const daemon = asObject(root["daemon"]);
  const kafka = asObject(daemon["kafka"]);
  return [
    { holder: root, keys: ["ledger"], path: [] },
    ...asArray(daemon["tokens"]).map((token, i) => ({
      holder: asObject(token),
      keys: ["token"],
      path: ["daemon", "tokens", i],
    })),
    ...kafkaSecretPaths.map(([part, key]) => ({
      holder: asObject(kafka[part]),
      keys: [key],
      path: ["daemon", "kafka", part],
    })),
  ];
}

/** Where a sync may hold secrets, from the sync on: its two ends, and the salts and keys of its mappers. */
function listSecrets(sync: Record<string, unknown>): SecretPlace[] {
  const ends = ["source", "destination"].map((end) => ({
    holder: asObject(sync[end]),
    keys: ["url", "password"],
    path: [end],
  }));
  const sets = asArray(sync["mappers"]).flatMap((set, i) =>
    asArray(asObject(set)["steps"]).flatMap((step, j) =>
      ["hash", "encrypt"].map((way) => ({
        holder: asObject(asObject(step)[way]),
        keys: ["salt", "key"],
        path: ["mappers", i, "steps", j, way],
      })),
    ),
  );
  return [...ends, ...sets];
}

function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The value as an object; an empty one for anything else. */
export function asObject(value: unknown): Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

/** The content of `file:PATH` without its last line end; relative paths are below `base`. */
function readSecret(
  text: string,
  base: string,
  path: ConfigPath,
  faults: ConfigFault[],
): string {
  const file = resolve(base, text.slice("file:".length).replace(/^\/\//, ""));
  try {
    const { size } = statSync(file);
    if (size > SECRET_FILE_BYTES_MAX) {
      faults.push({
        path,
        reason: `the file ${file} is too large for a secret (${size} bytes)`,
      });
      return text;
    }
    return readFileSync(file, "utf8").replace(/\r?\n$/, "");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    faults.push({
      path,
      reason: `the file ${file} cannot be read (${code ?? "unknown fault"})`,
    });
    return text;
  }
}
