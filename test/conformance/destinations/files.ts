/** Local files, one destination for each format. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DestinationDriver, Waivers } from "../drivers.ts";
import { readFiles, type FileFormat } from "../read-files.ts";

export const fileWaivers: Waivers = {
  dedupe: "rows are merged in databases only",
};

function describeFiles(
  format: FileFormat,
  name: string,
  adapt?: DestinationDriver["adapt"],
): DestinationDriver {
  return {
    name,
    ...(adapt ? { adapt } : {}),
    waivers: fileWaivers,
    isEngine: false,
    isFormatOnly: format !== "parquet",
    open: async () => {
      const root = mkdtempSync(join(tmpdir(), "millrace-conformance-"));
      return {
        target: join(root, "out"),
        options: ["--format", format],
        env: {},
        version: null,
        read: ({ folder }, columns, take) =>
          readFiles(format, folder, columns, take),
        close: async () => rmSync(root, { recursive: true, force: true }),
      };
    },
  };
}

export const parquet = describeFiles("parquet", "Parquet");
export const csv = describeFiles("csv", "CSV");
export const jsonLines = describeFiles(
  "jsonl",
  "JSON Lines",
  // a document that is `null` stands there as NULL does
  ({ kind }, cell) => (kind === "json" && cell === "null" ? null : cell),
);
export const avro = describeFiles("avro", "Avro");
