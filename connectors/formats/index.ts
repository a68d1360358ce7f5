/** Chooses a file format. The encoders are small and have no packages behind them; readers are in `read.ts`. */
import { ExtractError } from "../../proto/error.ts";
import type { StreamSchema } from "../../proto/schema.ts";
import { AvroEncoder } from "./avro/encoder.ts";
import { CsvEncoder } from "./csv/encoder.ts";
import type { CompressionName, FileFormat, FormatOptions } from "./format.ts";
import { JsonlEncoder } from "./jsonl/encoder.ts";
import { EncodingChoice } from "./parquet/column-chunk.ts";
import { ParquetEncoder } from "./parquet/encoder.ts";

/** What compression adds to the name of a text file. */
const suffixes = { none: "", gzip: ".gz", zstd: ".zst" } as const;

/** @throws ExtractError USAGE for a compression that the format does not have */
export function createFileFormat(
  schema: StreamSchema,
  options: FormatOptions,
): FileFormat {
  if (options.format === "parquet") {
    const compression = options.compression ?? "zstd";
    const choices = schema.columns.map(() => new EncodingChoice());
    return {
      extension: ".parquet",
      storesMetadata: true,
      createEncoder: () =>
        new ParquetEncoder(
          schema,
          compression,
          options.plainEncodings,
          choices,
        ),
    };
  }
  if (options.format === "avro") {
    // every reader has deflate, the other codecs are optional
    const compression = options.compression ?? "gzip";
    return {
      extension: ".avro",
      // metadata stand in front of the rows, when the checkpoint is not known yet
      storesMetadata: false,
      createEncoder: () => new AvroEncoder(schema, compression),
    };
  }
  const compression = checkTextCompression(options);
  const Encoder = options.format === "csv" ? CsvEncoder : JsonlEncoder;
  return {
    extension: `.${options.format}${suffixes[compression]}`,
    storesMetadata: false,
    createEncoder: () => new Encoder(schema, compression),
  };
}

function checkTextCompression(
  options: FormatOptions,
): Exclude<CompressionName, "snappy"> {
  const compression = options.compression ?? "none";
  if (compression === "snappy")
    throw new ExtractError(
      "USAGE",
      `${options.format} files cannot be compressed with snappy, which has no common file form: choose zstd, gzip or none`,
      { format: options.format, compression },
    );
  return compression;
}
