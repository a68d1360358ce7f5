/** The destination's part of the YAML file. Only the command line loads it: zod is not for where rows are written. */
import { z } from "zod";

import {
  BATCH_BYTES_LEAST,
  BATCH_BYTES_MOST,
  BATCH_DELAY_MS_MOST,
  BATCH_ROWS_MOST,
} from "../batching/limits.ts";
import { postgresDestinationDefaults as defaults } from "./config.ts";

const template = z
  .string()
  .min(1)
  .refine(
    (text) => !/[{}]/.test(text.replaceAll(/\{(namespace|stream)\}/g, "")),
    "only {namespace} and {stream} may stand in braces",
  );

/** Without the mode, which is the sync's. */
export const postgresDestinationSchema = z.strictObject({
  kind: z.literal("postgres"),
  url: z.string().min(1),
  schema: template.default(defaults.schema),
  table: template.default(defaults.table),
  batchRowsMax: z
    .int()
    .min(1)
    .max(BATCH_ROWS_MOST)
    .default(defaults.batchRowsMax),
  batchBytesMax: z
    .int()
    .min(BATCH_BYTES_LEAST)
    .max(BATCH_BYTES_MOST)
    .default(defaults.batchBytesMax),
  batchDelayMs: z
    .int()
    .min(0)
    .max(BATCH_DELAY_MS_MOST)
    .default(defaults.batchDelayMs),
  deletes: z.enum(["hard", "soft"]).default(defaults.deletes),
  history: z.enum(["none", "beside", "instead"]).default(defaults.history),
  historyTable: template.default(defaults.historyTable),
  nulBytes: z.enum(["error", "remove"]).default(defaults.nulBytes),
  nanoseconds: z.enum(["text", "microseconds"]).default(defaults.nanoseconds),
});
