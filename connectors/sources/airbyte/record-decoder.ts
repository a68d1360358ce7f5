/**
 * The records of one stream as rows of column buffers. A record is appended as a whole or not at all; what one of its
 * columns cannot hold is an error that names it, or NULL with a recorded change, as the policy says.
 */
import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { BATCH_BYTES_MAX, type ColumnBatch } from "../../../proto/columns.ts";
import { ExtractError } from "../../../proto/error.ts";
import type {
  LogicalType,
  StreamSchema,
  UnrepresentablePolicy,
} from "../../../proto/schema.ts";
import {
  growValues,
  writeNull,
  type BatchSet,
  type ColumnPlan,
  type ColumnStore,
} from "../batches/batch-set.ts";
import { BatchSupply } from "../batches/supply.ts";
import { endValue } from "../batches/batch-set.ts";
import { FILE_COLUMN } from "../../airbyte/file-reference.ts";
import { OWN_COLUMNS, type OwnColumn } from "./record-columns.ts";
import type { StagedFiles } from "./staged-files.ts";
import { ValueWriter, type Refusal } from "./value-writer.ts";
import { nameTable } from "../../../proto/table-name.ts";

/** Rows that a record becomes. */
const ROWS_OF_RECORD = 1;
/** Changes of one record that are told: the rest is counted. */
const CHANGES_MAX = 1_000;
/** Names of fields that a stream's schema does not have, which are told. */
const STRANGERS_MAX = 20;
/** Characters of a value that a message shows. */
const SHOWN_CHARS_MAX = 80;
/** What a value may take more than its bytes: a text that is quoted as JSON, an integer that is written in digits. */
const GROWTH_MAX = 8;
/** Bytes of a path that a link of the staging folder leads to, as JSON. */
const PLACE_BYTES = 8_192;
/** Bytes of a record's own columns. */
const META_BYTES = 256;
const UUID_BYTES = 16;
/** Files of a batch, after which it goes on its way: what is staged lies there until the destination has copied it. */
const FILES_MAX = 1_000;
const FILE_BYTES_MAX = 256 * 1024 * 1024;
/** Random bytes are drawn for so many identifiers at once. */
const UUIDS_DRAWN = 512;

export interface RecordColumn extends ColumnPlan {
  readonly index: number;
  readonly name: string;
  readonly nameBytes: Buffer;
  readonly type: LogicalType;
}

/** What is known of a record beside its values. */
export interface RecordFacts {
  /** Milliseconds from 1970. */
  readonly emittedAtMs: number;
  /** What others have changed on the way, as JSON objects. */
  readonly changes: readonly unknown[];
  /** The file that goes with the record, as JSON; null: none does. */
  readonly fileReference: string | null;
}

export interface DecoderSettings {
  /** All fields of the stream, in the order of their names: where protobuf records have their values. */
  readonly fields: readonly string[];
  readonly policy: UnrepresentablePolicy;
  readonly meta: readonly OwnColumn[];
  /** Wanted where `meta` has the file's column. */
  readonly stagedFiles?: StagedFiles | null;
  readonly syncId: number;
  readonly generation: number;
  readonly rowBytesMax: number;
  /** Under the policy `null`: NULL stands for the value. */
  valueNulled(column: string, reason: string): void;
  /** A field that the schema does not have; told once each. */
  fieldIgnored(name: string): void;
}

/** Gives one record's values to the writer, each once: `put` for those that are there. */
export interface RecordValues {
  /** @returns bytes that bound what the values need */
  readonly byteCount: number;
  write(row: RecordRow): void;
}

/** The row that a record's values are written into. */
export interface RecordRow {
  readonly columns: readonly RecordColumn[];
  /** The columns of `DecoderSettings.fields`; null for a field that is not copied. */
  readonly slots: readonly (RecordColumn | null)[];
  readonly writer: ValueWriter;
  /** Whether the column has its value already: a record that names one twice is refused. */
  isTaken(column: RecordColumn): boolean;
  storeOf(column: RecordColumn): ColumnStore;
  readonly row: number;
  take(column: RecordColumn): void;
  putNull(column: RecordColumn): void;
  /** @param show the value, for people */
  refuse(column: RecordColumn, reason: string, show: () => string): void;
  ignore(name: string): void;
}

interface RowInMaking extends RecordRow {
  set: BatchSet | null;
  row: number;
}

/** What became of a record: see `LogAppend`. */
export type RecordAppend = "appended" | "full" | "busy";

export interface RecordBatch {
  readonly batch: ColumnBatch;
  giveBack(): void;
}

export class RecordDecoder {
  readonly schema: StreamSchema;
  readonly fields: readonly ColumnPlan[];
  /** Of the records, without those behind them. */
  readonly columns: readonly RecordColumn[];
  readonly #metaColumns: ReadonlyMap<OwnColumn, RecordColumn>;
  readonly #settings: DecoderSettings;
  readonly #supply: BatchSupply;
  readonly #writer = new ValueWriter();
  readonly #strangers = new Set<string>();
  /** By column: the number of the row that has its value. */
  readonly #taken: Float64Array;
  readonly #slots: readonly (RecordColumn | null)[];
  readonly #row: RowInMaking;
  #record = 0;
  /** Of the batch that is filled. */
  #files = 0;
  #fileBytes = 0;
  #changes: unknown[] = [];
  #changesLeftOut = 0;
  #random: Buffer = Buffer.alloc(0);
  #randomAt = 0;

  /** @param schema with the columns of `settings.meta` behind its own */
  constructor(schema: StreamSchema, settings: DecoderSettings) {
    this.schema = schema;
    this.#settings = settings;
    const all = schema.columns.map(
      ({ name, type, nullable }, index): RecordColumn => ({
        index,
        name,
        nameBytes: Buffer.from(name),
        type,
        logical: type.kind,
        nullable,
      }),
    );
    const isMeta = new Set<string>(settings.meta);
    this.columns = all.filter(({ name }) => !isMeta.has(name));
    this.#metaColumns = new Map(
      all.flatMap((column) => {
        const name = OWN_COLUMNS.find((one) => one === column.name);
        return name !== undefined && isMeta.has(name) ? [[name, column]] : [];
      }),
    );
    assert(
      this.#metaColumns.size === isMeta.size,
      "every wanted column is there",
    );
    this.fields = all;
    this.#supply = new BatchSupply(all, 0);
    this.#taken = new Float64Array(all.length);
    const byName = new Map(this.columns.map((one) => [one.name, one]));
    this.#slots = settings.fields.map((name) => byName.get(name) ?? null);
    this.#row = this.#createRow();
  }

  /** @throws ExtractError SOURCE_VALUE_UNREPRESENTABLE, SOURCE_ROW_TOO_LARGE, CONNECTOR_MESSAGE_INVALID */
  append(facts: RecordFacts, values: RecordValues): RecordAppend {
    const set = this.#supply.open();
    if (set === null) return "busy";
    // a reference is part of its record, and may grow by what its link stands for
    const bound =
      values.byteCount * GROWTH_MAX +
      set.rowBytes +
      META_BYTES +
      (facts.fileReference === null ? 0 : PLACE_BYTES);
    if (set.rowCount > 0 && (this.#hasManyFiles || !hasRoom(set, bound)))
      return "full";
    if (values.byteCount > this.#settings.rowBytesMax)
      throw new ExtractError(
        "SOURCE_ROW_TOO_LARGE",
        `a record of ${this.#name} has ${values.byteCount} bytes, and ${this.#settings.rowBytesMax} are allowed`,
        { stream: this.#name, bytes: values.byteCount },
      );
    const row = set.rowCount;
    this.#record += 1;
    this.#changes = [...facts.changes];
    this.#changesLeftOut = 0;
    try {
      this.#row.set = set;
      this.#row.row = row;
      values.write(this.#row);
      for (const column of this.columns)
        if (this.#taken[column.index] !== this.#record) this.#putNull(column);
      if (this.#metaColumns.size > 0) this.#putMeta(row, facts);
    } catch (error) {
      removeRow(set, this.fields, row);
      throw error;
    }
    set.rowCount = row + ROWS_OF_RECORD;
    set.bytesBound += bound;
    if (set.rowCount === set.capacity) set.isFull = true;
    return "appended";
  }

  /** Null: there are no rows. */
  take(): RecordBatch | null {
    const set = this.#supply.take();
    if (set === null) return null;
    this.#files = 0;
    this.#fileBytes = 0;
    return {
      batch: set.toBatch(this.fields.length),
      giveBack: () => this.#supply.giveBack(set),
    };
  }

  get #name(): string {
    return nameTable(this.schema);
  }

  #createRow(): RowInMaking {
    const target: RowInMaking = {
      columns: this.columns,
      slots: this.#slots,
      writer: this.#writer,
      set: null,
      row: 0,
      storeOf: ({ index }) => {
        const store = target.set?.columns[index];
        assert(store !== undefined);
        return store;
      },
      isTaken: ({ index }) => this.#taken[index] === this.#record,
      take: ({ index }) => {
        this.#taken[index] = this.#record;
      },
      putNull: (column) => {
        this.#taken[column.index] = this.#record;
        this.#putNull(column);
      },
      refuse: (column, reason, show) => this.#refuse(column, reason, show),
      ignore: (name) => {
        if (this.#strangers.size >= STRANGERS_MAX) return;
        // it is left out because nobody wants it
        if (this.#settings.fields.includes(name)) return;
        if (this.#strangers.has(name)) return;
        this.#strangers.add(name);
        this.#settings.fieldIgnored(name);
      },
    };
    return target;
  }

  #putNull(column: RecordColumn): void {
    if (!column.nullable)
      throw new ExtractError(
        "SOURCE_VALUE_UNREPRESENTABLE",
        `a record of ${this.#name} has no ${column.name}, which its key needs`,
        { stream: this.#name, column: column.name },
      );
    writeNull(this.#row.storeOf(column), column.logical, this.#row.row);
  }

  #refuse(column: RecordColumn, reason: string, show: () => string): void {
    const { policy } = this.#settings;
    if (policy === "error" || !column.nullable)
      throw new ExtractError(
        "SOURCE_VALUE_UNREPRESENTABLE",
        `a record of ${this.#name} has a value in ${column.name} that its type, ${column.type.kind}, does not hold: ${reason} (${shorten(show())})`,
        { stream: this.#name, column: column.name, reason },
      );
    this.#putNull(column);
    this.#settings.valueNulled(column.name, reason);
    if (this.#changes.length >= CHANGES_MAX) this.#changesLeftOut += 1;
    else
      this.#changes.push({
        field: column.name,
        change: "NULLED",
        reason: "DESTINATION_TYPECAST_ERROR",
      });
  }

  get #hasManyFiles(): boolean {
    return this.#files >= FILES_MAX || this.#fileBytes >= FILE_BYTES_MAX;
  }

  #putFile(column: RecordColumn, row: number, text: string | null): void {
    if (text === null) {
      this.#putNull(column);
      return;
    }
    const { stagedFiles } = this.#settings;
    assert(stagedFiles, "files are looked for somewhere");
    const file = stagedFiles.find(text, this.#name);
    putText(this.#row.storeOf(column), row, file.text);
    this.#files += 1;
    this.#fileBytes += file.bytes;
  }

  #putMeta(row: number, { emittedAtMs, fileReference }: RecordFacts): void {
    for (const [name, column] of this.#metaColumns) {
      const store = this.#row.storeOf(column);
      let refusal: Refusal = null;
      switch (name) {
        case "_airbyte_raw_id":
          this.#putRawId(store, row, emittedAtMs);
          break;
        case "_airbyte_extracted_at": {
          const days = Math.floor(emittedAtMs / 86_400_000);
          const nanos = Math.round((emittedAtMs - days * 86_400_000) * 1e6);
          refusal = this.#writer.writeMoment(
            column.type,
            store,
            row,
            days,
            Math.floor(nanos / 1_000) * 1_000,
          );
          break;
        }
        case "_airbyte_meta":
          putText(
            store,
            row,
            JSON.stringify({
              sync_id: this.#settings.syncId,
              changes: this.#changes,
              ...(this.#changesLeftOut > 0
                ? { changes_left_out: this.#changesLeftOut }
                : {}),
            }),
          );
          break;
        case "_airbyte_generation_id":
          refusal = this.#writer.writeInteger(
            column.type,
            store,
            row,
            this.#settings.generation | 0,
            Math.floor(this.#settings.generation / 4_294_967_296),
          );
          break;
        case FILE_COLUMN:
          this.#putFile(column, row, fileReference);
      }
      if (refusal !== null)
        throw new ExtractError(
          "CONNECTOR_MESSAGE_INVALID",
          `a record of ${this.#name} says that it was made at ${emittedAtMs}: ${refusal}`,
          { stream: this.#name },
        );
    }
  }

  /** Version 7: the time first, so that they sort as the records came. */
  #putRawId({ fixed }: ColumnStore, row: number, emittedAtMs: number): void {
    if (this.#randomAt + UUID_BYTES > this.#random.length) {
      this.#random = randomBytes(UUID_BYTES * UUIDS_DRAWN);
      this.#randomAt = 0;
    }
    const at = row * UUID_BYTES;
    fixed.set(
      this.#random.subarray(this.#randomAt, this.#randomAt + UUID_BYTES),
      at,
    );
    this.#randomAt += UUID_BYTES;
    let ms = Math.max(0, Math.floor(emittedAtMs));
    for (let i = 5; i >= 0; i--) {
      fixed[at + i] = ms % 256;
      ms = Math.floor(ms / 256);
    }
    fixed[at + 6] = ((fixed[at + 6] ?? 0) & 0x0f) | 0x70;
    fixed[at + 8] = ((fixed[at + 8] ?? 0) & 0x3f) | 0x80;
  }
}

function hasRoom(set: BatchSet, byteCount: number): boolean {
  if (set.isFull) return false;
  return (
    set.bytesBound + byteCount <= BATCH_BYTES_MAX ||
    set.measure() + byteCount <= BATCH_BYTES_MAX
  );
}

/** What there is of the row behind the last one. */
function removeRow(
  set: BatchSet,
  fields: readonly ColumnPlan[],
  row: number,
): void {
  const bit = 1 << (row & 7);
  const at = row >> 3;
  for (const [index, store] of set.columns.entries()) {
    const { validity, offsets, fixed } = store;
    if (offsets !== null) store.end = offsets[row] ?? 0;
    if (validity !== null && ((validity[at] ?? bit) & bit) === 0) {
      validity[at] = (validity[at] ?? 0) | bit;
      store.nullCount--;
    }
    if (fields[index]?.logical === "boolean")
      fixed[at] = (fixed[at] ?? 0) & ~bit;
  }
}

function putText(store: ColumnStore, row: number, text: string): void {
  const bytes = Buffer.from(text);
  growValues(store, bytes.length).set(bytes, store.end);
  store.end += bytes.length;
  endValue(store, row);
}

function shorten(text: string): string {
  return text.length > SHOWN_CHARS_MAX
    ? `${text.slice(0, SHOWN_CHARS_MAX)}…`
    : text;
}
