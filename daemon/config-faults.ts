/** The faults of a configuration file in words: line, path, reason, and the nearest valid key for a misspelt one. */
import { isNode, type Document, type LineCounter } from "yaml";
import type { z } from "zod";
import { ExtractError } from "../proto/error.ts";
import { nearestNames } from "../proto/nearest.ts";
import { listKeysAt } from "./config-schema.ts";
import type { ConfigFault, ConfigPath } from "./config-secrets.ts";

const FAULTS_SHOWN_MAX = 50;

/** What is wrong and where, from one issue of the schema. */
export function describeIssue(issue: z.core.$ZodIssue): ConfigFault[] {
  const path = issue.path.map((step) =>
    typeof step === "number" ? step : String(step),
  );
  if (issue.code === "unrecognized_keys") {
    const valid = listKeysAt(path);
    return issue.keys.map((key) => {
      const nearest = nearestNames(key, valid)[0];
      const help =
        nearest === undefined
          ? `valid keys are ${valid.join(", ")}`
          : `did you mean \`${nearest}\`?`;
      return { path: [...path, key], reason: `is no known key; ${help}` };
    });
  }
  if (issue.code === "invalid_key") {
    const reason = issue.issues[0]?.message ?? issue.message;
    return [{ path, reason }];
  }
  if (issue.code === "invalid_union") return describeUnion(issue, path);
  return [{ path, reason: lowerFirst(issue.message) }];
}

/** Of a value that may be this or that: the faults of what it was meant to be, as far as its type tells. */
function describeUnion(
  { errors }: z.core.$ZodIssueInvalidUnion,
  path: ConfigPath,
): ConfigFault[] {
  const isOfType = (issues: readonly z.core.$ZodIssue[]) =>
    !issues.some(
      ({ code, path: within }) =>
        code === "invalid_type" && within.length === 0,
    );
  const meant = errors.find(isOfType);
  if (meant) {
    return meant.flatMap((issue) =>
      describeIssue({ ...issue, path: [...path, ...issue.path] }),
    );
  }
  const types = errors.flatMap((issues) =>
    issues.flatMap((issue) =>
      issue.code === "invalid_type" && issue.path.length === 0
        ? [typeNames[issue.expected] ?? issue.expected]
        : [],
    ),
  );
  return [{ path, reason: `must be ${[...new Set(types)].join(" or ")}` }];
}

const typeNames: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  object: "an object",
};

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** All faults in the order of the file, each with its line and path. */
export function locateFaults(
  file: string,
  faults: readonly ConfigFault[],
  document: Document,
  lines: LineCounter,
): string[] {
  return faults
    .map((fault) => ({ line: findLine(document, lines, fault.path), fault }))
    .sort((a, b) => a.line - b.line)
    .map(({ line, fault }) => describeFault(file, line, fault));
}

function describeFault(
  file: string,
  line: number,
  { path, reason }: ConfigFault,
): string {
  const name = path.length === 0 ? "the file" : printPath(path);
  return `${file}:${line} ${name}: ${reason}`;
}

/** The line of the deepest written part of a path, from 1. */
function findLine(
  document: Document,
  lines: LineCounter,
  path: ConfigPath,
): number {
  for (let depth = path.length; depth > 0; depth--) {
    const node = document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}

function printPath(path: ConfigPath): string {
  return path
    .map((step, i) =>
      typeof step === "number" ? `[${step}]` : i === 0 ? step : `.${step}`,
    )
    .join("");
}

/** One error for all faults of a file. */
export function describeFaults(
  file: string,
  faults: readonly string[],
): ExtractError {
  const shown = faults.slice(0, FAULTS_SHOWN_MAX);
  const more = faults.length - shown.length;
  const head = `${file} has ${faults.length === 1 ? "a fault" : `${faults.length} faults`}`;
  return new ExtractError(
    "CONFIG_INVALID",
    [
      head,
      ...shown.map((fault) => `  ${fault}`),
      ...(more > 0 ? [`  and ${more} more`] : []),
    ].join("\n"),
  );
}
