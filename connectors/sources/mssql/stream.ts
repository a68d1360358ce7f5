/** A stream as this source discovers and reads it. */
import type { DiscoveredStream, Discovery, ReadTask } from "../source.ts";

/** A column of a table as it is read. */
export interface SourceColumn {
  readonly name: string;
  /** The system type under an alias type, in lower case, e.g. `nvarchar`. */
  readonly baseType: string;
  /** As DDL names it, e.g. `nvarchar(20)`; an alias type by its own name. */
  readonly declaredType: string;
  /** Bytes; -1 for max. */
  readonly maxLength: number;
  readonly precision: number;
  readonly scale: number;
  readonly nullable: boolean;
  /** Null for types without. */
  readonly collation: string | null;
  /** Of the collation; null where there is none or the server does not say. */
  readonly codePage: number | null;
  /** hierarchyid, geometry, geography and the users' own types of the common language runtime. */
  readonly isClr: boolean;
}

/** The columns that ranges are cut on: those that the clustered index leads with. */
export interface RangeKey {
  readonly name: string;
  readonly columns: readonly {
    readonly name: string;
    /** As `textToKey` takes it, e.g. `varchar(20) COLLATE Latin1_General_CI_AS`. */
    readonly type: string;
    readonly exact: boolean;
  }[];
  /** Two rows may share a key: a checkpoint waits for a change of key. */
  readonly unique: boolean;
  /** The only column may hold NULL, which sorts lowest: such rows are the first range's. */
  readonly nullable: boolean;
  /** Of `sys.indexes`, whose statistics have the same number; null where it is not told. */
  readonly indexId: number | null;
}

export interface MssqlStream extends DiscoveredStream {
  readonly columns: readonly SourceColumn[];
  /** Null: one read, or a table that is not ordered by anything. */
  readonly rangeKey: RangeKey | null;
}

export interface MssqlDiscovery extends Discovery {
  readonly streams: readonly MssqlStream[];
}

export type MssqlReadTask = ReadTask<MssqlStream>;
