/** CREATE, ALTER and DROP. @see SQL Server docs, "CREATE TABLE", "CREATE INDEX", "ALTER TABLE" */
import type {
  ColumnDefinition,
  Expr,
  IndexDefinition,
  Statement,
} from "./ast.ts";
import { parseExpression } from "./parse-expression.ts";
import { parseQuery, skipBrackets } from "./parse-select.ts";
import type { WordReader } from "./reader.ts";

export function parseCreate(words: WordReader): Statement {
  if (words.skip("TABLE")) {
    const table = words.path();
    words.expect("(");
    const { columns, indexes } = parseTableElements(words);
    words.expect(")");
    skipTableOptions(words);
    return { is: "createTable", table, columns, indexes };
  }
  if (words.skip("SCHEMA"))
    return { is: "createSchema", name: words.identifier() };
  if (words.skip("DATABASE"))
    return { is: "createDatabase", name: words.identifier() };
  if (words.skip("STATISTICS")) {
    const name = words.identifier();
    words.expect("ON");
    const table = words.path();
    const columns = words.identifiers();
    if (words.skip("WITH")) while (words.isIdentifier()) words.identifier();
    return { is: "createStatistics", table, name, columns };
  }
  if (words.skip("VIEW")) {
    const view = words.path();
    words.expect("AS");
    return { is: "createView", view, query: parseQuery(words) };
  }
  const unique = words.skip("UNIQUE");
  const clustered = readClustered(words);
  words.expect("INDEX");
  const name = words.identifier();
  words.expect("ON");
  const table = words.path();
  const rest = parseIndexColumns(words);
  const index: IndexDefinition = {
    ...rest,
    ...{ name, unique, kind: "index" },
    clustered: clustered ?? false,
  };
  return { is: "createIndex", table, index };
}

function readClustered(words: WordReader): boolean | null {
  if (words.skip("CLUSTERED")) return true;
  return words.skip("NONCLUSTERED") ? false : null;
}

/** What may stand behind a table or an index: `WITH (…)`, `ON [PRIMARY]`, `TEXTIMAGE_ON x`. */
function skipTableOptions(words: WordReader): void {
  for (;;) {
    if (words.is("WITH", "(")) {
      words.at += 1;
      skipBrackets(words);
    } else if (words.is("ON") || words.is("TEXTIMAGE_ON")) words.at += 2;
    else return;
  }
}

function parseIndexColumns(
  words: WordReader,
): Pick<IndexDefinition, "columns" | "included"> {
  words.expect("(");
  const columns = words.list(() => {
    const name = words.identifier();
    const descending = words.skip("DESC");
    if (!descending) words.skip("ASC");
    return { name, descending };
  });
  words.expect(")");
  const included = words.skip("INCLUDE") ? words.identifiers() : [];
  skipTableOptions(words);
  return { columns, included };
}

interface TableElements {
  readonly columns: ColumnDefinition[];
  readonly indexes: IndexDefinition[];
}

function parseTableElements(words: WordReader): TableElements {
  const columns: ColumnDefinition[] = [];
  const indexes: IndexDefinition[] = [];
  words.list(() => {
    const index = parseConstraint(words, null);
    if (index !== undefined) {
      if (index !== null) indexes.push(index);
      return;
    }
    const parsed = parseColumn(words);
    columns.push(parsed.column);
    indexes.push(...parsed.indexes);
  });
  return { columns, indexes };
}

/**
 * A constraint of a table, or of one column.
 * @returns undefined when none stands here, null when it makes no index
 */
function parseConstraint(
  words: WordReader,
  ofColumn: string | null,
): IndexDefinition | null | undefined {
  const start = words.at;
  const name = words.skip("CONSTRAINT") ? words.identifier() : null;
  const isPrimary = words.skip("PRIMARY", "KEY");
  if (isPrimary || words.skip("UNIQUE")) {
    const clustered = readClustered(words);
    const kind = isPrimary ? "primaryKey" : "uniqueConstraint";
    const listed =
      ofColumn === null || words.is("(")
        ? parseIndexColumns(words)
        : { columns: [{ name: ofColumn, descending: false }], included: [] };
    if (ofColumn !== null) skipTableOptions(words);
    return { ...listed, name, unique: true, clustered, kind };
  }
  if (words.is("INDEX") && ofColumn === null) {
    words.at += 1;
    const indexName = words.identifier();
    const unique = words.skip("UNIQUE");
    const clustered = readClustered(words) ?? false;
    const rest = parseIndexColumns(words);
    return { ...rest, name: indexName, unique, clustered, kind: "index" };
  }
  if (words.skip("CHECK")) {
    skipBrackets(words);
    return null;
  }
  if (words.skip("FOREIGN", "KEY")) skipBrackets(words);
  if (words.skip("REFERENCES")) {
    words.path();
    if (words.is("(")) skipBrackets(words);
    return null;
  }
  words.at = start;
  return undefined;
}

function parseColumn(words: WordReader): {
  column: ColumnDefinition;
  indexes: IndexDefinition[];
} {
  const name = words.identifier();
  const indexes: IndexDefinition[] = [];
  // no computed columns: a read of them would need their expression
  if (words.is("AS")) words.fail();
  const type = words.type();
  let nullable: boolean | null = null;
  let identity: ColumnDefinition["identity"] = null;
  let defaultTo: Expr | null = null;
  for (;;) {
    if (words.skip("NOT", "NULL")) nullable = false;
    else if (words.skip("NULL")) nullable = true;
    else if (words.skip("IDENTITY")) {
      let seed = 1n;
      let step = 1n;
      if (words.skip("(")) {
        [seed = 1n, step = 1n] = words
          .list(() => words.integer())
          .map((value) => BigInt(value));
        words.expect(")");
      }
      identity = { seed, step };
      nullable = false;
    } else if (words.skipEither("ROWGUIDCOL", "SPARSE") !== null) continue;
    else if (
      words.is("DEFAULT") ||
      (words.is("CONSTRAINT") && words.peek(2).upper === "DEFAULT")
    ) {
      if (words.skip("CONSTRAINT")) words.identifier();
      words.expect("DEFAULT");
      defaultTo = parseExpression(words);
    } else {
      const index = parseConstraint(words, name);
      if (index === undefined) break;
      if (index === null) continue;
      indexes.push(index);
      if (index.kind === "primaryKey") nullable = false;
    }
  }
  return {
    column: { name, type, nullable, identity, defaultTo },
    indexes,
  };
}

export function parseAlter(words: WordReader): Statement {
  if (words.skip("DATABASE")) {
    words.nameAfterDot();
    words.expect("SET");
    const option = words.identifier().toUpperCase();
    const on = words.skip("ON");
    if (!on) words.expect("OFF");
    // WITH ROLLBACK IMMEDIATE
    if (words.skip("WITH")) words.at += 2;
    return { is: "alterDatabase", option, on };
  }
  words.expect("TABLE");
  const table = words.path();
  if (words.skip("ALTER", "COLUMN"))
    return { is: "alterColumn", table, column: parseColumn(words).column };
  if (words.skip("DROP")) {
    words.expect("COLUMN");
    return {
      is: "dropColumns",
      table,
      names: words.list(() => words.identifier()),
    };
  }
  words.expect("ADD");
  return { is: "addColumns", table, ...parseTableElements(words) };
}

export function parseDrop(words: WordReader): Statement {
  if (words.skip("INDEX")) {
    const name = words.identifier();
    words.expect("ON");
    return { is: "dropIndex", name, table: words.path() };
  }
  if (words.skipEither("TABLE", "VIEW") === null) words.fail();
  const ifExists = words.skip("IF", "EXISTS");
  return { is: "dropTable", ifExists, tables: words.list(() => words.path()) };
}
