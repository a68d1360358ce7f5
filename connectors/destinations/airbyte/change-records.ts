/**
 * Rows of a change log as records of a stream whose source captures changes: the table's columns that are wanted, and
 * Airbyte's own words for what happened. A value that the source did not send is NULL, and the record's `meta` says so.
 */
import { strict as assert } from "node:assert";
import {
  DELETED_COLUMN as DELETED_AT,
  CURSOR_COLUMN,
  LOG_FILE_COLUMN,
  LOG_POSITION_COLUMN,
  LSN_COLUMN,
  recordColumnsOf,
  UPDATED_COLUMN,
} from "../../airbyte/change-columns.ts";
import {
  DELETED_COLUMN,
  OPERATION_COLUMN,
  POSITION_COLUMN,
  TIME_COLUMN,
  UNCHANGED_COLUMN,
} from "../../../proto/change-columns.ts";
import { encodeUnsent } from "../../airbyte/record-protobuf/meta.ts";
import type { ColumnBatch, ColumnVector } from "../../../proto/columns.ts";
import type { ChangeRecordNames } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import { listTableColumns } from "../change-rows.ts";

/** `EEEEEEEE-PPPPPPPPPPPPPPPPPPPP-NNNNNNNNNN`: where the 20 digits begin. */
const COMMIT_AT = 9;
/** Of them, those of an LSN of 64 bits; of a binlog's file of 32 bits; of the place in it, 48 bits. */
const LSN_AT = COMMIT_AT + 4;
const FILE_AT = COMMIT_AT;
const OFFSET_AT = COMMIT_AT + 8;
const POSITION_CHARS = 40;
/** Digits that a server writes at least. */
const FILE_DIGITS = 6;
const TRUNCATED = "t".charCodeAt(0);
const NOTHING_UNCHANGED = "[]";

const metaColumn = {
  name: "meta",
  nullable: true,
  sourceType: "millrace",
} as const;

/** What is said of values that the source has not sent, as a format has it. */
const metas = {
  jsonl: { type: { kind: "json" }, encode: describeUnsent },
  protobuf: { type: { kind: "binary" }, encode: encodeUnsent },
} as const;

type MetaFormat = keyof typeof metas;

type MakeColumn = (batch: ColumnBatch) => ColumnVector;

export class ChangeRecords {
  /** The last column is the record's `meta`. */
  readonly schema: StreamSchema;
  readonly #stream: StreamSchema;
  readonly #columns: readonly MakeColumn[];
  readonly #operation: number;

  /** @param stream as its changes travel */
  constructor(
    stream: StreamSchema,
    { connector, logFile, columns }: ChangeRecordNames,
    format: MetaFormat,
  ) {
    const meta = metas[format];
    const wanted = columns && new Set(columns);
    const own = listTableColumns(stream).filter(
      (at) => wanted === null || wanted.has(stream.columns[at]!.name),
    );
    const ours = recordColumnsOf(connector);
    const base = logFile?.replace(/\.\d+$/, "") ?? "";
    this.#stream = stream;
    this.#operation = this.#find(OPERATION_COLUMN);
    this.#columns = [
      ...own.map(
        (at): MakeColumn =>
          (batch) =>
            batch.columns[at]!,
      ),
      ...ours.map(({ name }) => this.#make(name, base)),
      this.#makeMeta(meta.encode),
    ];
    this.schema = {
      ...stream,
      columns: [
        ...own.map((at) => stream.columns[at]!),
        ...ours,
        { ...metaColumn, type: meta.type },
      ],
    };
  }

  /** What is not made here is lent. @throws ExtractError SOURCE_LOG_UNUSABLE where a table was emptied */
  project(batch: ColumnBatch): ColumnBatch {
    const { offsets, data } = batch.columns[this.#operation]!;
    if (data.subarray(0, offsets?.[batch.rowCount]).includes(TRUNCATED)) {
      const table = `${this.#stream.namespace}.${this.#stream.name}`;
      throw new ExtractError(
        "SOURCE_LOG_UNUSABLE",
        `${table} was emptied by TRUNCATE, for which the protocol has no record: clear the stream (refresh it), and it is copied again`,
        { table },
      );
    }
    return {
      rowCount: batch.rowCount,
      columns: this.#columns.map((make) => make(batch)),
    };
  }

  #find(name: string): number {
    const at = this.#stream.columns.findLastIndex((one) => one.name === name);
    assert(at >= 0, `changes without ${name}`);
    return at;
  }

  #make(name: string, logFile: string): MakeColumn {
    const position = this.#find(POSITION_COLUMN);
    const time = this.#find(TIME_COLUMN);
    switch (name) {
      case LSN_COLUMN:
        return readNumbers(position, LSN_AT, 16);
      case LOG_POSITION_COLUMN:
        return readNumbers(position, OFFSET_AT, 12);
      case LOG_FILE_COLUMN:
        return nameFiles(position, logFile);
      case CURSOR_COLUMN:
        return (batch) => batch.columns[position]!;
      case UPDATED_COLUMN:
        return (batch) => batch.columns[time]!;
      case DELETED_AT: {
        const deleted = this.#find(DELETED_COLUMN);
        return ({ rowCount, columns }) =>
          onlyWhere(columns[deleted]!.data, columns[time]!, rowCount);
      }
      default:
        throw new Error(`${name} is no column of a record`);
    }
  }

  #makeMeta(encode: (fields: readonly string[]) => Uint8Array): MakeColumn {
    const unchanged = this.#find(UNCHANGED_COLUMN);
    const deleted = this.#find(DELETED_COLUMN);
    return ({ rowCount, columns }) => {
      const { offsets, data } = columns[unchanged]!;
      const gone = columns[deleted]!.data;
      assert(offsets);
      const texts = Array.from({ length: rowCount }, (_, row) => {
        const start = offsets[row]!;
        const end = offsets[row + 1]!;
        // of a row that has gone nobody wants its values
        const isGone = (gone[row >>> 3]! >>> (row & 7)) & 1;
        return isGone || end - start === NOTHING_UNCHANGED.length
          ? null
          : encode(
              JSON.parse(
                Buffer.from(data.subarray(start, end)).toString("utf8"),
              ) as readonly string[],
            );
      });
      return buildPieces(texts);
    };
  }
}

function describeUnsent(fields: readonly string[]): Uint8Array {
  const changes = fields.map((field) => ({
    field,
    change: "NULLED",
    reason: "SOURCE_RETRIEVAL_ERROR",
  }));
  return Buffer.from(JSON.stringify({ changes }));
}

function buildPieces(values: readonly (Uint8Array | null)[]): ColumnVector {
  const rowCount = values.length;
  const validity = new Uint8Array(Math.ceil(rowCount / 8));
  const offsets = new Int32Array(rowCount + 1);
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  let nullCount = 0;
  values.forEach((piece, row) => {
    if (piece === null) nullCount += 1;
    else {
      pieces.push(piece);
      bytes += piece.length;
      validity[row >>> 3]! |= 1 << (row & 7);
    }
    offsets[row + 1] = bytes;
  });
  return {
    nullCount,
    validity: nullCount === 0 ? null : validity,
    offsets,
    data: Buffer.concat(pieces),
  };
}

/** Hexadecimal digits of each row's position, at most 64 bits of them. */
function readNumbers(position: number, at: number, digits: number): MakeColumn {
  return ({ rowCount, columns }) => {
    const { offsets, data } = columns[position]!;
    assert(offsets);
    const numbers = new BigInt64Array(rowCount);
    for (let row = 0; row < rowCount; row++) {
      const start = offsets[row]! + at;
      assert.equal(offsets[row + 1]! - offsets[row]!, POSITION_CHARS);
      const high = readHex(data, start, digits - 8);
      const low = readHex(data, start + digits - 8, 8);
      numbers[row] = (BigInt(high) << 32n) | BigInt(low);
    }
    return {
      nullCount: 0,
      validity: null,
      offsets: null,
      data: new Uint8Array(numbers.buffer),
    };
  };
}

function nameFiles(position: number, base: string): MakeColumn {
  return ({ rowCount, columns }) => {
    const { offsets, data } = columns[position]!;
    assert(offsets);
    return buildPieces(
      Array.from({ length: rowCount }, (_, row) => {
        const number = readHex(data, offsets[row]! + FILE_AT, 8);
        return Buffer.from(
          `${base}.${String(number).padStart(FILE_DIGITS, "0")}`,
        );
      }),
    );
  };
}

function readHex(data: Uint8Array, at: number, digits: number): number {
  let number = 0;
  for (let i = at; i < at + digits; i++) {
    const code = data[i]!;
    number = number * 16 + (code < 58 ? code - 48 : code - 87);
  }
  return number;
}

/** The column's values in the rows whose bit is set. */
function onlyWhere(
  bits: Uint8Array,
  column: ColumnVector,
  rowCount: number,
): ColumnVector {
  let count = 0;
  for (let row = 0; row < rowCount; row++)
    count += (bits[row >>> 3]! >>> (row & 7)) & 1;
  return {
    ...column,
    nullCount: rowCount - count,
    validity: count === rowCount ? null : bits,
  };
}
