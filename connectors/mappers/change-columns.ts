/**
 * Rows of a snapshot as rows of a change log: they have the same values in all the columns that say of a row which
 * change it is. These are made once and lent to every batch.
 */
import { describeChanges } from "../../proto/change-columns.ts";
import { BATCH_ROWS_MAX, type ColumnVector } from "../../proto/columns.ts";
import { asSnapshot } from "../../proto/log-position.ts";
import type { LogSnapshot } from "../../proto/partition.ts";
import type { StreamSchema } from "../../proto/schema.ts";
import type { Mapper } from "./mapper.ts";

/** Rows as a snapshot reads them become rows of the change log. */
export function createChangeMapper(
  schema: StreamSchema,
  { position, takenAt }: LogSnapshot,
  transactionId = false,
): Mapper {
  const values = [
    repeatText("r"),
    repeatText(asSnapshot(position)),
    repeatInteger(BigInt(takenAt)),
    repeatFalse(),
    repeatText("[]"),
    repeatNullText(),
    ...(transactionId ? [repeatNullText()] : []),
  ];
  return {
    schema: describeChanges(schema, transactionId),
    warnings: [],
    apply: ({ rowCount, columns }) => [
      {
        rowCount,
        columns: [...columns, ...values.map((cut) => cut(rowCount))],
      },
    ],
  };
}

type Repeated = (rowCount: number) => ColumnVector;

function repeatText(value: string): Repeated {
  const one = Buffer.from(value);
  const data = new Uint8Array(
    Buffer.alloc(one.length * BATCH_ROWS_MAX, one).buffer,
  );
  const offsets = Int32Array.from(
    { length: BATCH_ROWS_MAX + 1 },
    (_, row) => row * one.length,
  );
  return (rowCount) => ({
    nullCount: 0,
    validity: null,
    offsets: offsets.subarray(0, rowCount + 1),
    data: data.subarray(0, rowCount * one.length),
  });
}

function repeatInteger(value: bigint): Repeated {
  const data = new Uint8Array(
    new BigInt64Array(BATCH_ROWS_MAX).fill(value).buffer,
  );
  return (rowCount) => ({
    nullCount: 0,
    validity: null,
    offsets: null,
    data: data.subarray(0, 8 * rowCount),
  });
}

function repeatFalse(): Repeated {
  const data = new Uint8Array(Math.ceil(BATCH_ROWS_MAX / 8));
  return (rowCount) => ({
    nullCount: 0,
    validity: null,
    offsets: null,
    data: data.subarray(0, Math.ceil(rowCount / 8)),
  });
}

function repeatNullText(): Repeated {
  const validity = new Uint8Array(Math.ceil(BATCH_ROWS_MAX / 8));
  const offsets = new Int32Array(BATCH_ROWS_MAX + 1);
  const data = new Uint8Array(0);
  return (rowCount) => ({
    nullCount: rowCount,
    validity: validity.subarray(0, Math.ceil(rowCount / 8)),
    offsets: offsets.subarray(0, rowCount + 1),
    data,
  });
}
