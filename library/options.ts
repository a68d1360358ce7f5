/** Options as callers write them, who may not have a compiler: all faults of a call are told at once. */
import { z } from "zod";
import {
  COMPRESSIONS,
  FORMATS,
  UNREPRESENTABLE,
} from "../daemon/config-values.ts";
import { SCHEMA_POLICIES } from "../daemon/schema-changes.ts";
import { ExtractError } from "../proto/error.ts";
import { nearestNames } from "../proto/nearest.ts";
import type { ReadTableOptions, SourceOptions, SyncOptions } from "./types.ts";

const CONNECTIONS_MAX = 256;
/** A run that goes on until it is stopped has no summary to wait for. */
const MODES = [
  "full-refresh-overwrite",
  "full-refresh-append",
  "incremental-append",
  "incremental-append-dedupe",
  "cdc",
] as const satisfies readonly SyncOptions["mode"][];

const texts = z.array(z.string().min(1)).optional();
const signal = z.instanceof(AbortSignal).optional();
const called = z
  .custom<(...args: never[]) => void>((value) => typeof value === "function")
  .optional();
const unrepresentable = z.enum(UNREPRESENTABLE).optional();
const positive = z.number().positive().optional();

const readShape = {
  where: z.string().min(1).optional(),
  unrepresentable,
  onValueNulled: called,
  json: z.enum(["text", "parse"]).optional(),
  signal,
};
const readOptions = z.strictObject({ ...readShape, columns: texts });
const sourceOptions = z.strictObject({
  tables: texts,
  exclude: texts,
  columns: texts,
  connections: z.int().min(1).max(CONNECTIONS_MAX).optional(),
  unrepresentable,
  signal,
});
const syncOptions = z.strictObject({
  source: z.string().min(1),
  destination: z.string().min(1),
  tables: texts,
  exclude: texts,
  columns: texts,
  where: z.string().min(1).optional(),
  mode: z.enum(MODES).optional(),
  cursor: z.string().min(1).optional(),
  cursorLagSeconds: z.number().min(0).optional(),
  format: z.enum(FORMATS).optional(),
  compression: z.enum(COMPRESSIONS).optional(),
  pathTemplate: z.string().min(1).optional(),
  fileBytesMax: positive,
  foldersBy: texts,
  namespace: z.string().min(1).optional(),
  streamPrefix: z.string().optional(),
  checkpointEverySeconds: positive,
  channels: z.int().min(1).max(CONNECTIONS_MAX).optional(),
  unrepresentable,
  schemaChanges: z.enum(SCHEMA_POLICIES).optional(),
  ledger: z.string().min(1).optional(),
  restart: z.boolean().optional(),
  runsIn: z.enum(["threads", "processes"]).optional(),
  signal,
  onEvent: called,
});

export function checkReadOptions(options: ReadTableOptions): void {
  check("readTable", readOptions, options);
}

export function checkSourceOptions(options: SourceOptions): void {
  check("openSource", sourceOptions, options);
}

export function checkSyncOptions(options: SyncOptions): void {
  check("sync", syncOptions, options);
}

/** @throws ExtractError USAGE with all faults */
function check(name: string, schema: z.ZodObject, options: unknown): void {
  const { error } = schema.safeParse(options);
  if (!error) return;
  const faults = error.issues.flatMap((issue) => {
    if (issue.code !== "unrecognized_keys")
      return [`${issue.path.join(".") || "options"}: ${issue.message}`];
    return issue.keys.map((key) => {
      const nearest = nearestNames(key, Object.keys(schema.shape))[0];
      return `${key} is no option${nearest === undefined ? "" : `; did you mean ${nearest}?`}`;
    });
  });
  throw new ExtractError("USAGE", `${name}: ${faults.join("; ")}`);
}
