import type { DestinationDriver } from "../drivers.ts";
import { avro, csv, jsonLines, parquet } from "./files.ts";
import { postgresTables } from "./postgres.ts";
import { s3 } from "./s3.ts";

/** The first takes every source's heavy scenarios. */
export const destinations: readonly DestinationDriver[] = [
  parquet,
  csv,
  jsonLines,
  avro,
  s3,
  postgresTables,
];
