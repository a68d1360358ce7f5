/**
 * Splits a batch by the values of columns, for folders as Hive has them: `country=de/created_day=2026-01-31`. The columns
 * stay in the rows: the folders are for pruning, and files read without a look at their folders lack nothing.
 */
import { strict as assert } from "node:assert";
import type { ColumnBatch } from "../../proto/columns.ts";
import { ExtractError } from "../../proto/error.ts";
import { nearestNames } from "../../proto/nearest.ts";
import type { LogicalKind, StreamSchema } from "../../proto/schema.ts";
import { gatherRows } from "./gather-rows.ts";
import {
  createPartitionKey,
  escapeHive,
  isPartitionKind,
  partitionUnits,
  unitsOfKind,
  type PartitionKey,
  type PartitionUnit,
} from "./partition/keys.ts";

/** Values, combined ones where there are several columns, that are parted at a time and may have files open. */
export const PARTITION_VALUES_MAX = 256;
/** Folders within folders. */
const PARTITION_COLUMNS_MAX = 8;
/** Bytes of a folder's name: file systems take 255, and a name may be put in front. */
const FOLDER_BYTES_MAX = 240;

export interface PartitionColumn {
  readonly column: string;
  /** Null: by the value itself. */
  readonly unit: PartitionUnit | null;
}

/** The rows of one value, in the order they had. */
export interface RowPart {
  /** Relative, with `/` between columns. */
  readonly folder: string;
  readonly batch: ColumnBatch;
}

/** `country`, or `created:day`. A colon that no unit follows belongs to the name. */
export function parsePartitionColumn(text: string): PartitionColumn {
  const colon = text.lastIndexOf(":");
  const unit = partitionUnits.find((name) => name === text.slice(colon + 1));
  return colon > 0 && unit
    ? { column: text.slice(0, colon), unit }
    : { column: text, unit: null };
}

/** What speaks against these columns, a sentence each; none when they can be used. */
export function checkPartitionColumns(
  schema: Pick<StreamSchema, "columns">,
  columns: readonly PartitionColumn[],
): string[] {
  const faults: string[] = [];
  if (columns.length > PARTITION_COLUMNS_MAX)
    faults.push(
      `${columns.length} columns to partition by, where ${PARTITION_COLUMNS_MAX} are allowed`,
    );
  const names = schema.columns.map(({ name }) => name);
  const folders = new Set<string>();
  for (const { column, unit } of columns) {
    const found = schema.columns.find(({ name }) => name === column);
    const folder = folderName({ column, unit });
    if (!found) {
      const near = nearestNames(column, names);
      faults.push(
        `there is no column ${column}${near.length > 0 ? `; did you mean ${near.join(" or ")}?` : ""}`,
      );
      continue;
    }
    const { kind } = found.type;
    if (folders.has(folder)) faults.push(`${folder} is named twice`);
    else if (unit !== null && names.includes(folder))
      faults.push(
        `${column}:${unit} would make folders called ${folder}, as a column is`,
      );
    else if (unit === null && !isPartitionKind(kind))
      faults.push(
        unitsOfKind(kind).length > 0
          ? `${column} is a ${kind}: say by what, e.g. ${column}:day`
          : `${column} is a ${kind}, by which rows cannot be partitioned`,
      );
    else if (unit !== null && !unitsOfKind(kind).includes(unit))
      faults.push(`${column} is a ${kind}, which has no ${unit}`);
    folders.add(folder);
  }
  return faults;
}

/** A unit gets a name of its own: a reader that takes values from folders would cut the column's otherwise. */
function folderName({ column, unit }: PartitionColumn): string {
  return unit === null ? column : `${column}_${unit}`;
}

/** Readers pass over folders that begin with these. */
function escapeFront(name: string): string {
  return name.replace(/^\./, "%2E").replace(/^_/, "%5F");
}

export class RowPartitioner {
  readonly #kinds: readonly LogicalKind[];
  readonly #columns: readonly {
    readonly index: number;
    /** With the equals sign. */
    readonly prefix: string;
    readonly key: PartitionKey;
  }[];
  /** Hash table from rows to groups: -1, or a group. Twice the groups that fit, a power of two. */
  readonly #slots = new Int32Array(PARTITION_VALUES_MAX * 4);
  /** The first row of each group. */
  readonly #firstRows = new Int32Array(PARTITION_VALUES_MAX);

  /** @param columns checked by `checkPartitionColumns`, at least one */
  constructor(
    schema: Pick<StreamSchema, "columns">,
    columns: readonly PartitionColumn[],
  ) {
    assert(columns.length > 0, "columns to partition by");
    assert.deepEqual(checkPartitionColumns(schema, columns), []);
    this.#kinds = schema.columns.map(({ type }) => type.kind);
    this.#columns = columns.map((column) => {
      const index = schema.columns.findIndex(
        ({ name }) => name === column.column,
      );
      return {
        index,
        prefix: `${escapeFront(escapeHive(folderName(column)))}=`,
        key: createPartitionKey(schema.columns[index]!.type.kind, column.unit),
      };
    });
  }

  /**
   * The parts in the order in which their values first come, made as they are asked for; each value's rows keep their
   * order. Where the batch has more values than PARTITION_VALUES_MAX it is cut into stretches of rows that have no more,
   * so that a value may come again in a later part. A batch of one value is given back as it is. It is not to be
   * called again before the parts of the last batch are all taken, or left.
   * @throws ExtractError USAGE for a value too long to be a folder's name
   */
  *split(batch: ColumnBatch): Generator<RowPart, void, undefined> {
    const { rowCount } = batch;
    const groups = new Int32Array(rowCount);
    for (let from = 0; from < rowCount;) {
      for (const { key, index } of this.#columns)
        key.bind(batch.columns[index]!, rowCount);
      const { counts, until } = this.#assignGroups(from, rowCount, groups);
      const folders = counts.map((_, group) =>
        this.#describeFolder(this.#firstRows[group]!),
      );
      for (const { key } of this.#columns) key.unbind();
      if (until - from === rowCount && folders.length === 1) {
        yield { folder: folders[0]!, batch };
        return;
      }
      const rows = counts.map((count) => new Int32Array(count));
      const filled = new Int32Array(counts.length);
      for (let row = from; row < until; row++) {
        const group = groups[row]!;
        rows[group]![filled[group]!++] = row;
      }
      for (const [group, folder] of folders.entries())
        yield { folder, batch: gatherRows(batch, this.#kinds, rows[group]!) };
      from = until;
    }
  }

  /**
   * Gives each row its group's number, up to the row that would need one group too many: `until`. Returns the rows of
   * each group.
   */
  #assignGroups(
    from: number,
    rowCount: number,
    groups: Int32Array,
  ): { readonly counts: readonly number[]; readonly until: number } {
    const slots = this.#slots.fill(-1);
    const counts: number[] = [];
    const mask = slots.length - 1;
    let last = 0;
    for (let row = from; row < rowCount; row++) {
      // neighbours are often alike
      if (row > from && this.#areEqual(row - 1, row)) {
        groups[row] = last;
        counts[last]!++;
        continue;
      }
      let hash = 0;
      for (const { key } of this.#columns)
        hash = Math.imul(hash ^ key.hash(row), 0x9e3779b1);
      let slot = (hash ^ (hash >>> 15)) & mask;
      for (;;) {
        const group = slots[slot]!;
        if (group === -1) {
          last = counts.length;
          if (last === PARTITION_VALUES_MAX) return { counts, until: row };
          slots[slot] = last;
          this.#firstRows[last] = row;
          counts.push(1);
          break;
        }
        if (this.#areEqual(this.#firstRows[group]!, row)) {
          last = group;
          counts[group]!++;
          break;
        }
        slot = (slot + 1) & mask;
      }
      groups[row] = last;
    }
    return { counts, until: rowCount };
  }

  #areEqual(a: number, b: number): boolean {
    for (const { key } of this.#columns) if (!key.equals(a, b)) return false;
    return true;
  }

  #describeFolder(row: number): string {
    return this.#columns
      .map(({ prefix, key }) => {
        const folder = `${prefix}${key.describe(row)}`;
        const bytes = Buffer.byteLength(folder);
        if (bytes > FOLDER_BYTES_MAX)
          throw new ExtractError(
            "USAGE",
            `a value of ${prefix.slice(0, -1)} makes a folder's name of ${bytes} bytes, where ${FOLDER_BYTES_MAX} are allowed: partition by another column`,
            { bytes },
          );
        return folder;
      })
      .join("/");
  }
}
