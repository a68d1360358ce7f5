/** Queries of T-SQL to queries of SQLite. */
import type {
  Expr,
  FromItem,
  OrderItem,
  Query,
  Sample,
  Select,
} from "../sql/ast.ts";
import { SqlError } from "../types/storage.ts";
import { isCharacter, makeType } from "../types/types.ts";
import {
  coerce,
  emitExpr,
  render,
  renderKey,
  unifyAll,
  type Emitter,
} from "./emit.ts";
import {
  makeTyped,
  type CommonSource,
  type Scope,
  type ScopeColumn,
  type Source,
  type Typed,
} from "./scope.ts";

/** Columns as they stand in a table or view; `sql` is the bare name of the physical column. */
export interface Relation {
  readonly sqlName: string;
  readonly columns: readonly ScopeColumn[];
  /** It has rowids, which a sample is taken by. */
  readonly isTable: boolean;
}

export interface QueryEmitter extends Emitter {
  nextAlias(): string;
  /** @throws SqlError 208 */
  relation(parts: readonly string[], hints: readonly string[]): Relation;
  /** A function that gives a table. @throws SqlError 208 */
  tableFunction(parts: readonly string[], args: readonly Typed[]): Relation;
}

export interface EmittedColumn extends Typed {
  readonly name: string;
}

export interface EmittedQuery {
  readonly sql: string;
  readonly columns: readonly EmittedColumn[];
}

interface From {
  readonly sql: string;
  /** Conditions that stand for samples. */
  readonly wheres: readonly string[];
}

const PAGE_ROWS = 64;

/** Pages of some rows are taken or left as a whole, as the server does. */
function emitSample(
  e: QueryEmitter,
  sample: Sample,
  alias: string,
  scope: Scope,
): string {
  const { value } = coerce(
    e,
    emitExpr(e, sample.amount, scope),
    makeType("float"),
  );
  const amount = Number(value);
  const seed =
    sample.seed === null
      ? Math.trunc(Math.random() * 1_000_000)
      : Number(emitExpr(e, sample.seed, scope).value);
  if (sample.unit === "ROWS")
    throw new SqlError(156, "TABLESAMPLE (n ROWS) is not offered.");
  return `is_sampled(${alias}.rowid / ${PAGE_ROWS}, ${seed}, ${amount})`;
}

function emitFrom(e: QueryEmitter, item: FromItem, scope: Scope): From {
  if (item.is === "join") return emitJoin(e, item, scope);
  const alias = e.nextAlias();
  const add = (name: string, columns: readonly ScopeColumn[]) => {
    const source: Source = {
      name,
      columns: columns.map((c, i) => ({
        ...c,
        name: item.columns[i] ?? c.name,
        // a column of a function may stand inside of something else
        sql: c.sql.includes("{}")
          ? c.sql.replaceAll("{}", alias)
          : `${alias}.${c.sql}`,
      })),
    };
    scope.sources.push(source);
  };
  switch (item.is) {
    case "table": {
      const name = item.alias ?? item.parts.at(-1)!;
      const common =
        item.parts.length === 1 ? findCommon(scope, item.parts[0]!) : null;
      if (common !== null) {
        add(
          name,
          common.columns.map((c, i) => ({ ...c, sql: `o${i + 1}` })),
        );
        return { sql: `${common.sqlName} AS ${alias}`, wheres: [] };
      }
      const relation = e.relation(item.parts, item.hints);
      add(name, relation.columns);
      const wheres =
        item.sample === null ? [] : [emitSample(e, item.sample, alias, scope)];
      return { sql: `${relation.sqlName} AS ${alias}`, wheres };
    }
    case "derived": {
      const { sql, columns } = emitQuery(e, item.query, scope);
      add(
        item.alias ?? alias,
        columns.map((c, i) => ({ ...c, sql: `o${i + 1}` })),
      );
      return { sql: `(${sql}) AS ${alias}`, wheres: [] };
    }
    case "values": {
      const rows = item.rows.map((row) =>
        row.map((of) => emitExpr(e, of, scope)),
      );
      const types = rows[0]!.map((_, i) =>
        unifyAll(rows.map((row) => row[i]!)),
      );
      const sql = rows
        .map(
          (row) =>
            `SELECT ${row.map((of, i) => `${render(e, coerce(e, of, types[i]!))} AS o${i + 1}`).join(", ")}`,
        )
        .join(" UNION ALL ");
      add(
        item.alias ?? alias,
        types.map((type, i) => ({
          name: `o${i + 1}`,
          type,
          nullable: true,
          sql: `o${i + 1}`,
        })),
      );
      return { sql: `(${sql}) AS ${alias}`, wheres: [] };
    }
    case "function": {
      const args = item.args.map((of) => emitExpr(e, of, scope));
      const relation = e.tableFunction(item.parts, args);
      add(item.alias ?? item.parts.at(-1)!, relation.columns);
      return { sql: `${relation.sqlName} AS ${alias}`, wheres: [] };
    }
  }
}

function findCommon(scope: Scope, name: string): CommonSource | null {
  for (let at: Scope | null = scope; at !== null; at = at.outer) {
    const found = at.common.get(name.toLowerCase());
    if (found !== undefined) return found;
  }
  return null;
}

function emitJoin(
  e: QueryEmitter,
  item: Extract<FromItem, { is: "join" }>,
  scope: Scope,
): From {
  const left = emitFrom(e, item.left, scope);
  const right = emitFrom(e, item.right, scope);
  const on = item.on === null ? null : render(e, emitExpr(e, item.on, scope));
  const words: Record<string, string> = {
    CROSS: "CROSS JOIN",
    "CROSS APPLY": "JOIN",
    "OUTER APPLY": "LEFT JOIN",
  };
  const how = words[item.how] ?? `${item.how} JOIN`;
  // the rows of the right side of an outer join are sampled before they are joined
  const wheres = [...left.wheres, ...right.wheres];
  const condition = on ?? (item.how === "OUTER APPLY" ? "1" : null);
  return {
    sql: `${left.sql} ${how} ${right.sql}${condition === null ? "" : ` ON ${condition}`}`,
    wheres,
  };
}

/** What a name without alias is called in the result. */
function nameItem(of: Expr): string {
  return of.is === "column" ? of.parts.at(-1)! : "";
}

function emitItems(
  e: QueryEmitter,
  select: Select,
  scope: Scope,
): EmittedColumn[] {
  return select.items.flatMap(({ of, name }): EmittedColumn[] => {
    if (of.is !== "star")
      return [{ ...emitExpr(e, of, scope), name: name ?? nameItem(of) }];
    const qualifier = of.parts.at(-1)?.toLowerCase();
    const sources = scope.sources.filter(
      (s) => qualifier === undefined || s.name.toLowerCase() === qualifier,
    );
    if (sources.length === 0)
      throw new SqlError(
        107,
        `The column prefix '${qualifier ?? "*"}' does not match with a table name or alias name used in the query.`,
        15,
      );
    return sources.flatMap((s) =>
      s.columns.map((column) => ({
        ...makeTyped(column.sql, column.type, column.nullable),
        column,
        name: column.name,
      })),
    );
  });
}

const aggregates = /^(COUNT|COUNT_BIG|MIN|MAX|SUM|AVG|STRING_AGG|STDEV)$/;

function hasAggregate(of: Expr): boolean {
  if (of.is === "call" && of.over === null && aggregates.test(of.name))
    return true;
  if (of.is === "query" || of.is === "exists") return false;
  return Object.values(of).some((part: unknown) =>
    Array.isArray(part)
      ? part
          .flat()
          .some((inner: unknown) => isExpr(inner) && hasAggregate(inner))
      : isExpr(part) && hasAggregate(part),
  );
}

function isExpr(value: unknown): value is Expr {
  return typeof value === "object" && value !== null && "is" in value;
}

interface EmittedSelect {
  readonly columns: EmittedColumn[];
  /** Without ORDER BY and LIMIT. */
  readonly build: (columns: readonly Typed[]) => string;
  readonly scope: Scope;
  readonly select: Select;
}

function emitSelect(
  e: QueryEmitter,
  select: Select,
  outer: Scope,
): EmittedSelect {
  const scope: Scope = { sources: [], common: new Map(), outer };
  const froms = select.from.map((item) => emitFrom(e, item, scope));
  const wheres = froms.flatMap((from) => from.wheres);
  if (select.where !== null)
    wheres.unshift(render(e, emitExpr(e, select.where, scope)));
  const columns = emitItems(e, select, scope);
  const groups = select.groupBy.map((of) =>
    renderKey(e, emitExpr(e, of, scope)),
  );
  const isGrouped =
    groups.length > 0 || select.items.some(({ of }) => hasAggregate(of));
  const having =
    select.having === null
      ? ""
      : ` HAVING ${render(e, emitExpr(e, select.having, scope))}`;
  const build = (shown: readonly Typed[]) => {
    const items = shown.map((c, i) => `${render(e, c)} AS o${i + 1}`);
    // equal texts may differ, so that what is distinct is a matter of the keys
    const byKey =
      select.distinct &&
      !isGrouped &&
      shown.some(
        (c) => isCharacter(c.type) || c.type.kind === "datetimeoffset",
      );
    const grouping = byKey ? shown.map((c) => renderKey(e, c)) : groups;
    return [
      `SELECT ${select.distinct && !byKey ? "DISTINCT " : ""}${items.join(", ")}`,
      froms.length === 0
        ? ""
        : ` FROM ${froms.map(({ sql }) => sql).join(", ")}`,
      wheres.length === 0 ? "" : ` WHERE ${wheres.join(" AND ")}`,
      grouping.length === 0 ? "" : ` GROUP BY ${grouping.join(", ")}`,
      having,
    ].join("");
  };
  return { columns, build, scope, select };
}

function emitOrder(
  e: QueryEmitter,
  orderBy: readonly OrderItem[],
  columns: readonly EmittedColumn[],
  scope: Scope,
  byPosition: boolean,
): string {
  const items = orderBy.flatMap(({ by, descending }) => {
    const direction = descending ? " DESC" : "";
    let at = -1;
    if (by.is === "number") at = Number(by.text) - 1;
    else if (by.is === "column" && by.parts.length === 1)
      at = columns.findIndex(
        ({ name }) => name.toLowerCase() === by.parts[0]!.toLowerCase(),
      );
    const column = columns[at];
    if (column !== undefined) {
      const typed = byPosition ? makeTyped(`o${at + 1}`, column.type) : column;
      return [`${renderKey(e, typed)}${direction}`];
    }
    // (SELECT NULL): any order
    if (by.is === "query") return [];
    return [`${renderKey(e, emitExpr(e, by, scope))}${direction}`];
  });
  return items.length === 0 ? "" : ` ORDER BY ${items.join(", ")}`;
}

export function emitQuery(
  e: QueryEmitter,
  query: Query,
  outer: Scope,
): EmittedQuery {
  const scope: Scope = { sources: [], common: new Map(), outer };
  const common = query.with.map(({ name, columns, query: inner }) => {
    const emitted = emitQuery(e, inner, scope);
    const sqlName = `w${e.nextAlias()}`;
    scope.common.set(name.toLowerCase(), {
      sqlName,
      columns: emitted.columns.map((c, i) => ({
        ...c,
        name: columns[i] ?? c.name,
      })),
    });
    return `${sqlName} AS (${emitted.sql})`;
  });
  const head = common.length === 0 ? "" : `WITH ${common.join(", ")} `;
  const selects = query.selects.map((select) => emitSelect(e, select, scope));
  const [first] = selects;
  const limit = emitLimit(e, query, first!.select, scope);
  if (selects.length === 1) {
    const { columns, build } = first!;
    const body = build(columns);
    const order = emitOrder(e, query.orderBy, columns, first!.scope, false);
    return { sql: `${head}${body}${order}${limit}`, columns };
  }
  const types = first!.columns.map((_, i) =>
    unifyAll(selects.map((s) => s.columns[i]!)),
  );
  const columns = first!.columns.map((c, i) => ({
    name: c.name,
    ...makeTyped(`o${i + 1}`, types[i]!),
  }));
  const bodies = selects.map((s) =>
    s.build(s.columns.map((c, i) => coerce(e, c, types[i]!))),
  );
  const body = bodies
    .map((sql, i) => (i === 0 ? sql : `${query.unions[i - 1]} ${sql}`))
    .join(" ");
  const order = emitOrder(e, query.orderBy, columns, scope, true);
  const isPlain = order === "" && limit === "";
  const sql = isPlain ? body : `SELECT * FROM (${body})${order}${limit}`;
  return { sql: head + sql, columns };
}

function emitLimit(
  e: QueryEmitter,
  query: Query,
  select: Select,
  scope: Scope,
): string {
  const number = (of: Expr) =>
    render(e, coerce(e, emitExpr(e, of, scope), makeType("bigint")));
  if (select.top !== null) {
    if (select.top.percent)
      throw new SqlError(156, "TOP (n) PERCENT is not offered.");
    return ` LIMIT ${number(select.top.count)}`;
  }
  if (query.offset === null) return "";
  const fetch = query.fetch === null ? "-1" : number(query.fetch);
  return ` LIMIT ${fetch} OFFSET ${number(query.offset)}`;
}
