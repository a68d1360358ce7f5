/**
 * What a statement in the log does to a table that is followed. Rows that a statement takes away or puts in place have no
 * events of their own: a copy that went on behind it would be another table, and nobody would be told.
 */
import { ExtractError } from "../../proto/error.ts";

export interface NamedTable {
  readonly namespace: string;
  readonly name: string;
}

/** Left alone: what cannot be read from here. Its shape comes with its rows. */
export type DdlEffect = "shape" | "contents";

/** Rows go, or come from elsewhere. */
const contentsOf = [
  /^\s*DROP\s+(?:TABLE|DATABASE|SCHEMA)\b/i,
  /^\s*CREATE\s+OR\s+REPLACE\s+TABLE\b/i,
  /^\s*RENAME\s+TABLES?\b/i,
  /\bRENAME\s+(?!COLUMN\b|INDEX\b|KEY\b)/i,
  /\b(?:DROP|TRUNCATE|EXCHANGE|DISCARD|IMPORT)\s+(?:PARTITION|TABLESPACE)\b/i,
];

/** Comments and texts in quotes are no words of a statement; names are. */
const noWords = /\/\*(?!!)[\s\S]*?\*\/|--[^\n]*|#[^\n]*|'(?:[^'\\]|\\.|'')*'/g;

export function readEffect(ddl: string): DdlEffect {
  const words = ddl.replaceAll(noWords, " ");
  return contentsOf.some((pattern) => pattern.test(words))
    ? "contents"
    : "shape";
}

/**
 * The tables that a schema change is of.
 * @param value as the engine tells it: `source` with database and table, `tableChanges` with the ids of tables
 * @throws ExtractError SOURCE_EVENT_INVALID
 */
export function readTables(value: Uint8Array): readonly NamedTable[] {
  const tables: NamedTable[] = [];
  try {
    const { source, tableChanges } = JSON.parse(
      Buffer.from(value).toString(),
    ) as {
      readonly source: {
        readonly db: string | null;
        readonly table: string | null;
      };
      readonly tableChanges: readonly { readonly id: string | null }[] | null;
    };
    const namespace = source.db ?? "";
    // a statement on several tables names them all, and one on a database none
    for (const name of (source.table ?? "").split(","))
      if (name !== "") tables.push({ namespace, name });
    for (const { id } of tableChanges ?? []) {
      const match = /^"(.*)"\."(.*)"$/s.exec(id ?? "");
      const [, schema = "", name = ""] = match ?? [];
      tables.push({ namespace: schema, name });
    }
  } catch (cause) {
    throw new ExtractError(
      "SOURCE_EVENT_INVALID",
      "a change of definitions in the log is none that can be read",
      {},
      { cause },
    );
  }
  return tables;
}

export function refuseContents(
  { namespace, name }: NamedTable,
  ddl: string,
  position: string,
): ExtractError {
  const table = `${namespace}.${name}`;
  return new ExtractError(
    "SOURCE_SCHEMA_CHANGED",
    `${table} was dropped, renamed, replaced or had a partition taken away: its log says nothing of the rows that have come or gone with that, so that it has to be copied again (--resync, or a backfill of the stream)`,
    { table, position, statement: ddl.slice(0, 200) },
  );
}
