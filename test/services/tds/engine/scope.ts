/** What names mean inside of a query, and expressions that already have a type. */
import { keyOf } from "../types/convert.ts";
import type { Storage } from "../types/storage.ts";
import { isCharacter, type SqlType } from "../types/types.ts";

/** An expression with its type: a constant, or SQLite's text for it. */
export interface Typed {
  readonly type: SqlType;
  readonly nullable: boolean;
  /** Null for a constant. */
  readonly sql: string | null;
  /** Of a constant. */
  readonly value: Storage;
  /** NULL without a type, which takes any. */
  readonly untyped?: boolean;
  /** Its collation was asked for by COLLATE, which wins over that of a column. */
  readonly collated?: boolean;
  /** What stands for it when it is a plain column: where it comes from. */
  readonly column?: ScopeColumn;
}

export interface ScopeColumn {
  readonly name: string;
  readonly type: SqlType;
  readonly nullable: boolean;
  readonly sql: string;
  readonly table?: readonly string[];
  readonly identity?: boolean;
}

export interface Source {
  /** How columns are qualified: the alias, else the table's name. */
  readonly name: string;
  readonly columns: readonly ScopeColumn[];
}

export interface Scope {
  readonly sources: Source[];
  /** Names of common tables, in small letters. */
  readonly common: Map<string, CommonSource>;
  readonly outer: Scope | null;
}

export interface CommonSource {
  readonly sqlName: string;
  readonly columns: readonly Omit<ScopeColumn, "sql">[];
}

export const emptyScope = (): Scope => ({
  sources: [],
  common: new Map(),
  outer: null,
});

export function makeConstant(
  value: Storage,
  type: SqlType,
  untyped = false,
): Typed {
  return { type, nullable: value === null, sql: null, value, untyped };
}

export function makeTyped(sql: string, type: SqlType, nullable = true): Typed {
  return { type, nullable, sql, value: null };
}

const typeNumbers = new Map<SqlType, number>();
const numberedTypes: SqlType[] = [];

/** Types and collations go into SQLite's functions as numbers. */
export function numberType(type: SqlType): number {
  const found = typeNumbers.get(type);
  if (found !== undefined) return found;
  const number = numberedTypes.push(type) - 1;
  typeNumbers.set(type, number);
  return number;
}

export function findNumberedType(number: number): SqlType {
  return numberedTypes[number]!;
}

/** SQLite's text of what a value is compared by. Equal texts make the same index usable. */
export function keySql(sql: string, type: SqlType): string {
  if (type.alias === "sysname") return sql;
  if (isCharacter(type)) return `sort_key(${sql}, ${numberCollation(type)})`;
  if (type.kind === "datetimeoffset") return `substr(${sql}, 1, 8)`;
  return sql;
}

const collationTypes = new Map<string, number>();

/** One number for each collation, whatever the length of the type. */
function numberCollation(type: SqlType): number {
  const { name } = type.collation!;
  const found = collationTypes.get(name);
  if (found !== undefined) return found;
  const number = numberType(type);
  collationTypes.set(name, number);
  return number;
}

export function keyConstant(value: Storage, type: SqlType): Storage {
  return keyOf(value, type);
}
