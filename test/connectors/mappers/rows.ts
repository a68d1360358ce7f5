/** Runs steps over plain rows. */
import type { MapperStep } from "../../../connectors/mappers/config.ts";
import {
  checkMapper,
  createMapper,
  type Mapper,
  type MapperUse,
} from "../../../connectors/mappers/mapper.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import { readBatch } from "../../fixtures/batch-rows.ts";
import { buildBatch, type TestRow } from "../../fixtures/batches.ts";

/** Rows are only added. */
export const appendOnly: MapperUse = { mergeKey: null, cursor: null };

export function mapRows(
  mapper: Mapper,
  source: StreamSchema,
  rows: readonly TestRow[],
): TestRow[] {
  return mapper
    .apply(buildBatch(source, rows))
    .flatMap((batch) => readBatch(mapper.schema, batch));
}

/** One step over one batch of rows. */
export function runStep(
  schema: StreamSchema,
  step: MapperStep,
  rows: readonly TestRow[],
): TestRow[] {
  return mapRows(createMapper(schema, [step], appendOnly), schema, rows);
}

/** What is wrong with the steps, as `path: reason`. */
export function listFaults(
  schema: StreamSchema,
  steps: readonly MapperStep[],
  use: MapperUse = appendOnly,
): string[] {
  return checkMapper(schema, steps, use).map(
    ({ path, reason }) => `${path.join(".")}: ${reason}`,
  );
}
