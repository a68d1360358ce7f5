/**
 * The file destination in a YAML file. Only what reads configuration loads this: the schema library takes tens of
 * milliseconds and megabytes that the processes which move rows do not spend.
 */
import { isAbsolute } from "node:path";

import { z } from "zod";

import { ExtractError } from "../../../proto/error.ts";
import {
  FILE_BYTES_MAX_DEFAULT,
  FILE_BYTES_MAX_LEAST,
  FILE_BYTES_MAX_MOST,
  PATH_TEMPLATE_DEFAULT,
} from "./config.ts";
import type { FileDestinationConfig } from "./config.ts";
import { parsePathTemplate } from "./path-template.ts";

export const fileDestinationSchema = z.strictObject({
  kind: z.literal("file"),
  root: z
    .string()
    .min(1)
    .refine(isAbsolute, "must be an absolute path")
    .describe("Folder below which all files are written, absolute."),
  pathTemplate: z
    .string()
    .default(PATH_TEMPLATE_DEFAULT)
    .superRefine(checkTemplate)
    .describe("Folder of one stream, from {namespace} and {stream}."),
  fileBytesMax: z
    .int()
    .min(FILE_BYTES_MAX_LEAST)
    .max(FILE_BYTES_MAX_MOST)
    .default(FILE_BYTES_MAX_DEFAULT)
    .describe("Bytes of a file above which the next batch begins a new one."),
  format: z
    .enum(["parquet", "csv", "jsonl"])
    .default("parquet")
    .describe("Format of the files."),
  compression: z
    .enum(["zstd", "snappy", "gzip", "none"])
    .nullable()
    .default(null)
    .describe("Null: zstd for Parquet, none for CSV and JSONL."),
  plainEncodings: z
    .boolean()
    .default(false)
    .describe("Parquet for readers without DELTA_LENGTH_BYTE_ARRAY."),
});

/** The checked YAML value in the shape that the destination takes. */
export function toFileDestinationConfig(
  value: z.output<typeof fileDestinationSchema>,
): FileDestinationConfig {
  return {
    root: value.root,
    pathTemplate: value.pathTemplate,
    fileBytesMax: value.fileBytesMax,
    format: {
      format: value.format,
      compression: value.compression,
      plainEncodings: value.plainEncodings,
    },
  };
}

function checkTemplate(template: string, context: z.RefinementCtx): void {
  try {
    parsePathTemplate(template);
  } catch (error) {
    if (!(error instanceof ExtractError)) throw error;
    context.addIssue({ code: "custom", message: error.message });
  }
}
