/**
 * Changes the rows of a stream where they are read: from a schema and steps to the schema that travels, and from each
 * batch to the batches that do. Buffers in, buffers out; a column that no step names is passed on as it is.
 */
import { createHash } from "node:crypto";
import {
  batchBytes,
  BATCH_BYTES_MAX,
  type ColumnBatch,
} from "../../proto/columns.ts";
import { ExtractError } from "../../proto/error.ts";
import type { LogicalKind, StreamSchema } from "../../proto/schema.ts";
import { gatherRows } from "../formats/gather-rows.ts";
import { planDrop, planRename, planSelect } from "./columns.ts";
import type { MapperStep } from "./config.ts";
import { planEncrypt } from "./encrypt.ts";
import { planFilter } from "./filter/plan.ts";
import { planHash } from "./hash.ts";
import { planMask } from "./mask.ts";
import {
  StepContext,
  type ApplyStep,
  type MapperFault,
  type PlannedStep,
  type TrackedColumn,
} from "./step.ts";

export type { MapperFault } from "./step.ts";

/** Hashes and ciphertexts are longer than what they stand for: a batch that has grown beyond this is cut. */
const MAPPED_BYTES_MAX = 2 * BATCH_BYTES_MAX;

/** What the sync needs of columns, by the names that the source has. */
export interface MapperUse {
  /** Columns that the destination merges rows on; null where it only adds rows. */
  readonly mergeKey: readonly string[] | null;
  readonly cursor: string | null;
}

export interface Mapper {
  /** What travels and is written. Its fingerprint covers the steps, secrets included, so that no run mixes two ways. */
  readonly schema: StreamSchema;
  /** Sentences for people. */
  readonly warnings: readonly string[];
  /**
   * The rows that are left, as batches that share the buffers of unchanged columns with `batch`; none when none is left,
   * more than one where the values have grown. New buffers are made for each call.
   */
  apply(batch: ColumnBatch): readonly ColumnBatch[];
}

/** Everything that is wrong with the steps for this stream; empty when a mapper can be made. */
export function checkMapper(
  schema: StreamSchema,
  steps: readonly MapperStep[],
  use: MapperUse,
): readonly MapperFault[] {
  return planMapper(schema, steps, use).faults;
}

/** @throws ExtractError CONFIG_INVALID with all faults */
export function createMapper(
  schema: StreamSchema,
  steps: readonly MapperStep[],
  use: MapperUse,
): Mapper {
  const { faults, warnings, columns, apply } = planMapper(schema, steps, use);
  if (faults.length > 0) throw refuseSteps(schema, faults);
  if (steps.length === 0)
    return { schema, warnings, apply: (batch) => [batch] };
  const kinds = columns.map(({ column }) => column.type.kind);
  return {
    schema: describeMapped(schema, steps, columns),
    warnings,
    apply: (batch) => {
      let mapped: ColumnBatch | null = batch;
      for (const step of apply) {
        mapped = step(mapped);
        if (mapped === null) return [];
      }
      return cutLarge(mapped, kinds);
    },
  };
}

interface MapperPlan {
  readonly faults: readonly MapperFault[];
  readonly warnings: readonly string[];
  readonly columns: readonly TrackedColumn[];
  readonly apply: readonly ApplyStep[];
}

function planMapper(
  schema: StreamSchema,
  steps: readonly MapperStep[],
  use: MapperUse,
): MapperPlan {
  const faults: MapperFault[] = [];
  const warnings: string[] = [];
  const apply: ApplyStep[] = [];
  let columns = trackColumns(schema, use);
  steps.forEach((step, i) => {
    const context = new StepContext(columns, [i], faults, warnings);
    const planned = planStep(step, context, use);
    columns = planned.columns;
    apply.push(planned.apply);
  });
  return { faults, warnings: [...new Set(warnings)], columns, apply };
}

function trackColumns(
  schema: StreamSchema,
  use: MapperUse,
): readonly TrackedColumn[] {
  return schema.columns.map((column) => {
    const { name } = column;
    const keyIndex = schema.key?.indexOf(name) ?? -1;
    const isMerged = use.mergeKey?.includes(name) ?? false;
    return {
      column,
      keyIndex: keyIndex === -1 ? null : keyIndex,
      isMerged,
      isOrder: use.mergeKey !== null && use.cursor === name,
      isInPositions: keyIndex !== -1 || use.cursor === name,
    };
  });
}

function planStep(
  step: MapperStep,
  context: StepContext,
  use: MapperUse,
): PlannedStep {
  const { select, drop, rename, filter, hash, encrypt, mask } = step;
  if (select) return planSelect(select, context);
  if (drop) return planDrop(drop, context);
  if (rename) return planRename(rename, context);
  if (hash) return planHash(hash, context);
  if (encrypt) return planEncrypt(encrypt, context);
  if (mask) return planMask(mask, context);
  if (filter !== undefined) {
    if (use.mergeKey !== null)
      context.warn(
        "a row that passed the filter once and no longer does stays as it was in the destination",
      );
    return planFilter(filter, context);
  }
  context.fail([], "says nothing that could be done");
  return { columns: context.columns, apply: (batch) => batch };
}

/** 16 hexadecimal digits, as a source's own fingerprint has them. */
function describeMapped(
  schema: StreamSchema,
  steps: readonly MapperStep[],
  tracked: readonly TrackedColumn[],
): StreamSchema {
  const { key: sourceKey, ...rest } = schema;
  const columns = tracked.map(({ column }) => column);
  const key = sourceKey?.map(
    (_, index) =>
      tracked.find(({ keyIndex }) => keyIndex === index)?.column.name,
  );
  return {
    ...rest,
    columns,
    ...(key?.every((name) => name !== undefined) ? { key } : {}),
    fingerprint: createHash("sha256")
      .update(JSON.stringify([schema.fingerprint, steps, columns]))
      .digest("hex")
      .slice(0, 16),
  };
}

function cutLarge(
  batch: ColumnBatch,
  kinds: readonly LogicalKind[],
): readonly ColumnBatch[] {
  const pieces = Math.min(
    batch.rowCount,
    Math.ceil(batchBytes(batch) / MAPPED_BYTES_MAX),
  );
  if (pieces <= 1) return [batch];
  const rows = Math.ceil(batch.rowCount / pieces);
  const cut: ColumnBatch[] = [];
  for (let from = 0; from < batch.rowCount; from += rows) {
    const count = Math.min(rows, batch.rowCount - from);
    const range = Int32Array.from({ length: count }, (_, i) => from + i);
    cut.push(gatherRows(batch, kinds, range));
  }
  return cut;
}

function refuseSteps(
  { namespace, name }: StreamSchema,
  faults: readonly MapperFault[],
): ExtractError {
  const stream = namespace === "" ? name : `${namespace}.${name}`;
  const lines = faults.map(
    ({ path, reason }) => `steps${formatPath(path)}: ${reason}`,
  );
  return new ExtractError(
    "CONFIG_INVALID",
    `the mappers of ${stream}: ${lines.join("; ")}`,
    { stream, faults: faults.length },
  );
}

/** `[2, "hash"]` is `[2].hash`. */
function formatPath(path: readonly (string | number)[]): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${part}`))
    .join("");
}
