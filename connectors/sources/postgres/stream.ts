/** A stream as this source discovers and reads it. */
import type { DiscoveredStream, Discovery, ReadTask } from "../source.ts";

/** A column of a table as it is read. */
export interface SourceColumn {
  readonly name: string;
  readonly typeOid: number;
  readonly typeModifier: number;
  /** For domains, the oid of the base type; else equal to typeOid. */
  readonly baseTypeOid: number;
  /** pg_type.typtype and typcategory of the base type: what tells enums, arrays, ranges and composites apart. */
  readonly typeKind: string;
  readonly typeCategory: string;
  /** format_type(): the declared type as SQL. */
  readonly declaredType: string;
  readonly notNull: boolean;
}

export interface PostgresStream extends DiscoveredStream {
  readonly columns: readonly SourceColumn[];
}

export interface PostgresDiscovery extends Discovery {
  readonly streams: readonly PostgresStream[];
}

export type PostgresReadTask = ReadTask<PostgresStream>;
