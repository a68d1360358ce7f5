/**
 * The folder names of streams: the template's rules, and identifiers of a database as safe parts of a path. Pure.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";

import { ExtractError } from "../../../proto/error.ts";

/** A folder name longer than this is cut and ends in a hash; file systems allow 255. Bytes. */
export const FOLDER_NAME_BYTES_MAX = 200;

const TEMPLATE_CHARACTERS_MAX = 1_000;
const TEMPLATE_SEGMENTS_MAX = 16;
/** Hex digits behind `~`: 128 bits of SHA-256. */
const HASH_DIGITS = 32;

export type TemplatePart =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "value"; readonly of: "namespace" | "stream" };

/**
 * A path template as segments of parts.
 * @throws ExtractError USAGE saying which rule is broken: the path stays below the root, no part of it is hidden from
 * readers, and {stream} is in it, told apart from {namespace} by a character that no encoded identifier has
 */
export function parsePathTemplate(template: string): TemplatePart[][] {
  const refuse = (why: string): never => {
    throw new ExtractError("USAGE", `path template "${template}": ${why}`, {
      template: template.slice(0, TEMPLATE_CHARACTERS_MAX),
      reason: why,
    });
  };
  if (template.length > TEMPLATE_CHARACTERS_MAX)
    refuse(`is longer than ${TEMPLATE_CHARACTERS_MAX} characters`);
  if (template.startsWith("/") || /^[A-Za-z]:/.test(template))
    refuse("must be relative to the destination's folder");
  const segments = template.split("/");
  if (segments.length > TEMPLATE_SEGMENTS_MAX)
    refuse(`has more than ${TEMPLATE_SEGMENTS_MAX} folders`);
  const parsed = segments.map((segment) => parseSegment(segment, refuse));
  const hasStream = parsed.some((parts) =>
    parts.some((part) => part.kind === "value" && part.of === "stream"),
  );
  if (!hasStream) refuse("must contain {stream}, else tables share a folder");
  return parsed;
}

function parseSegment(
  segment: string,
  refuse: (why: string) => never,
): TemplatePart[] {
  if (segment === "") refuse("has an empty folder name (a doubled or last /)");
  if (segment === "." || segment === "..")
    refuse(`must not contain "${segment}"`);
  if (/^[._]/.test(segment))
    refuse(`"${segment}" begins with . or _, which readers pass over`);
  const parts: TemplatePart[] = [];
  for (const piece of segment.split(/(\{[^{}]*\})/)) {
    if (piece === "") continue;
    if (piece === "{namespace}" || piece === "{stream}") {
      if (parts.at(-1)?.kind === "value") {
        refuse(`needs text between the placeholders of "${segment}"`);
      }
      const of = piece === "{stream}" ? "stream" : "namespace";
      parts.push({ kind: "value", of });
      continue;
    }
    if (/^\{[^{}]*\}$/.test(piece))
      refuse(`${piece} is unknown; there are {namespace} and {stream}`);
    const odd = /[^A-Za-z0-9_.=-]/.exec(piece)?.[0];
    if (odd !== undefined)
      refuse(`"${odd}" is not allowed (letters, digits and _ . = - are)`);
    parts.push({ kind: "text", text: piece });
  }
  if (Buffer.byteLength(segment) > FOLDER_NAME_BYTES_MAX)
    refuse(`"${segment}" is longer than ${FOLDER_NAME_BYTES_MAX} bytes`);
  const values = parts.filter((part) => part.kind === "value");
  const between = parts.slice(
    parts.findIndex((part) => part.kind === "value") + 1,
    parts.findLastIndex((part) => part.kind === "value"),
  );
  const separated = between.some(
    (part) => part.kind === "text" && /[.=]/.test(part.text),
  );
  if (values.length > 2) refuse(`"${segment}" has more than two placeholders`);
  // `a-b` and `c` give the same as `a` and `b-c`; . and = are always encoded in identifiers
  if (values.length === 2 && !separated)
    refuse(`"${segment}" needs a . or = between its placeholders`);
  return parts;
}

/**
 * An identifier of the database as part of a folder name: letters, digits, `_` and `-` of ASCII stay, case included;
 * every other UTF-8 byte is `%XX`, and so is a leading `_`, because readers pass over hidden folders. Injective.
 */
export function encodeIdentifier(identifier: string): string {
  assert(identifier !== "" && identifier.isWellFormed(), "not an identifier");
  return identifier.replaceAll(/^_|[^A-Za-z0-9_-]+/g, (odd) =>
    Array.from(Buffer.from(odd, "utf8"), encodeByte).join(""),
  );
}

/** Cuts a long name. `~` stands in no encoded name, so a shortened name is never another one's full name. */
export function shortenFolderName(name: string): string {
  if (name.length <= FOLDER_NAME_BYTES_MAX) return name;
  const hash = createHash("sha256").update(name).digest("hex");
  const head = name
    .slice(0, FOLDER_NAME_BYTES_MAX - HASH_DIGITS - 1)
    .replace(/%[0-9A-F]?$/, "");
  return `${head}~${hash.slice(0, HASH_DIGITS)}`;
}

function encodeByte(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}
