/** Expressions of T-SQL to expressions of SQLite, with the types that T-SQL gives them. */
import type { Expr, Query } from "../sql/ast.ts";
import { findCollation } from "../types/collations.ts";
import { convertValue, sharesStorage } from "../types/convert.ts";
import { SqlError, packText, type Storage } from "../types/storage.ts";
import { parseText } from "../types/text.ts";
import {
  isCharacter,
  isDecimal,
  isFloat,
  isInteger,
  isMoney,
  isTemporal,
  makeType,
  unifyTypes,
  type SqlType,
} from "../types/types.ts";
import {
  keyConstant,
  keySql,
  makeConstant,
  makeTyped,
  numberType,
  type Scope,
  type Typed,
} from "./scope.ts";

const int = makeType("int");
const bit = makeType("bit");

export interface Emitter {
  /** Adds a parameter and returns its mark. */
  bind(value: Storage): string;
  readonly variables: ReadonlyMap<string, { type: SqlType; value: Storage }>;
  /** What `@@x` and functions about the session stand for. @returns null for an unknown name */
  global(name: string): Typed | null;
  session(name: string, args: readonly Storage[]): Typed | null;
  /** A function. @throws SqlError 195 for an unknown one */
  call(call: Extract<Expr, { is: "call" }>, scope: Scope): Typed;
  query(query: Query, scope: Scope): { sql: string; columns: readonly Typed[] };
}

/** SQLite's text; a constant becomes a parameter. */
export function render(e: Emitter, typed: Typed): string {
  if (typed.sql !== null) return typed.sql;
  return typed.value === null ? "NULL" : e.bind(typed.value);
}

/** @throws SqlError when a constant cannot be converted */
export function coerce(
  e: Emitter,
  typed: Typed,
  to: SqlType,
  style = 0,
  tries = false,
): Typed {
  if (typed.type === to) return typed;
  if (typed.sql === null) {
    if (typed.value === null) return makeConstant(null, to);
    try {
      return makeConstant(convertValue(typed.value, typed.type, to, style), to);
    } catch (error) {
      if (tries && error instanceof SqlError) return makeConstant(null, to);
      throw error;
    }
  }
  if (sharesStorage(typed.type, to)) return { ...typed, type: to };
  const name = tries ? "try_convert" : "convert_value";
  return makeTyped(
    `${name}(${typed.sql}, ${numberType(typed.type)}, ${numberType(to)}, ${style})`,
    to,
    typed.nullable || tries,
  );
}

/** What the expression is compared by. */
export function renderKey(e: Emitter, typed: Typed): string {
  if (typed.sql === null) {
    const key = keyConstant(typed.value, typed.type);
    return key === null ? "NULL" : e.bind(key);
  }
  return keySql(typed.sql, typed.type);
}

/** The same two values in one type. */
export function unify(e: Emitter, a: Typed, b: Typed): [Typed, Typed] {
  if (a.untyped) return [makeConstant(null, b.type), b];
  if (b.untyped) return [a, makeConstant(null, a.type)];
  if (a.collated !== b.collated && isCharacter(a.type) && isCharacter(b.type))
    return a.collated
      ? [a, { ...b, type: a.type }]
      : [{ ...a, type: b.type }, b];
  // a constant that the column's type holds exactly leaves the column alone, and its index usable
  const exact = (column: Typed, constant: Typed): Typed | null => {
    if (column.sql === null || constant.sql !== null) return null;
    if (isCharacter(column.type) !== isCharacter(constant.type)) return null;
    if (isCharacter(column.type))
      return makeConstant(constant.value, column.type);
    if (column.type.kind === "sql_variant") return null;
    try {
      const there = convertValue(constant.value, constant.type, column.type);
      const back = convertValue(there, column.type, constant.type);
      const key = (value: Storage) => String(keyConstant(value, constant.type));
      return key(back) === key(constant.value)
        ? makeConstant(there, column.type)
        : null;
    } catch {
      return null;
    }
  };
  const right = exact(a, b);
  if (right !== null) return [a, right];
  const left = exact(b, a);
  if (left !== null) return [left, b];
  const type = unifyTypes(a.type, b.type);
  return [coerce(e, a, type), coerce(e, b, type)];
}

function emitComparison(e: Emitter, sign: string, a: Typed, b: Typed): Typed {
  const [left, right] = unify(e, a, b);
  return makeTyped(
    `(${renderKey(e, left)} ${sign} ${renderKey(e, right)})`,
    bit,
  );
}

function emitArithmetic(e: Emitter, sign: string, a: Typed, b: Typed): Typed {
  if (
    sign === "+" &&
    (isCharacter(a.type) || isCharacter(b.type)) &&
    !isNumber(a.type) &&
    !isNumber(b.type)
  ) {
    const type = unifyTypes(a.type, b.type);
    const length = type.length === -1 ? -1 : a.type.length + b.type.length;
    const joined = makeType(type.kind, { length, collation: type.collation });
    return makeTyped(
      `(${render(e, coerce(e, a, makeType(type.kind, { length: -1 })))} || ${render(e, coerce(e, b, makeType(type.kind, { length: -1 })))})`,
      joined,
      a.nullable || b.nullable,
    );
  }
  const type = a.untyped
    ? b.type
    : b.untyped
      ? a.type
      : unifyTypes(a.type, b.type);
  const nullable = a.nullable || b.nullable;
  if (isInteger(type) || isFloat(type)) {
    const result = type.kind === "bit" ? int : type;
    const [left, right] = [coerce(e, a, result), coerce(e, b, result)];
    return makeTyped(
      `(${render(e, left)} ${sign} ${render(e, right)})`,
      result,
      nullable,
    );
  }
  if (isDecimal(type) || isMoney(type)) {
    const result = isMoney(type)
      ? type
      : makeType("decimal", {
          precision: 38,
          scale:
            sign === "*"
              ? Math.min(38, a.type.scale + b.type.scale)
              : sign === "/"
                ? Math.max(6, type.scale)
                : type.scale,
        });
    return makeTyped(
      `arithmetic('${sign}', ${render(e, a)}, ${numberType(a.type)}, ${render(e, b)}, ${numberType(b.type)}, ${numberType(result)})`,
      result,
      nullable,
    );
  }
  if (isTemporal(type) && (sign === "+" || sign === "-")) {
    // a number of days
    const [moment, days] = isTemporal(a.type) ? [a, b] : [b, a];
    return makeTyped(
      `add_days(${render(e, moment)}, ${numberType(moment.type)}, ${sign}${render(e, coerce(e, days, makeType("float")))})`,
      moment.type,
      nullable,
    );
  }
  throw new SqlError(
    8117,
    `Operand data type ${type.kind} is invalid for operator ${sign}.`,
  );
}

const isNumber = (type: SqlType) =>
  isInteger(type) || isDecimal(type) || isMoney(type) || isFloat(type);

function emitNumber(text: string): Typed {
  if (/e/i.test(text)) return makeConstant(Number(text), makeType("float"));
  if (text.includes("$"))
    return makeConstant(parseText(text, makeType("money")), makeType("money"));
  const [whole = "", fraction = ""] = text.replace("-", "").split(".");
  if (!text.includes(".")) {
    const value = BigInt(text);
    if (value >= -(2n ** 31n) && value < 2n ** 31n)
      return makeConstant(value, int);
  }
  const digits = whole.replace(/^0+/, "").length + fraction.length;
  const type = makeType("numeric", {
    precision: Math.max(1, digits),
    scale: fraction.length,
  });
  return makeConstant(parseText(text, type), type);
}

/** @throws SqlError 207, 4104, 209 */
function findColumn(scope: Scope, parts: readonly string[]): Typed {
  const name = parts.at(-1)!.toLowerCase();
  const qualifier = parts.at(-2)?.toLowerCase() ?? "";
  for (let at: Scope | null = scope; at !== null; at = at.outer) {
    const found = at.sources
      .filter((s) => qualifier === "" || s.name.toLowerCase() === qualifier)
      .flatMap((s) => s.columns.filter((c) => c.name.toLowerCase() === name));
    if (found.length > 1)
      throw new SqlError(209, `Ambiguous column name '${parts.at(-1)}'.`);
    const column = found[0];
    if (column !== undefined)
      return { ...makeTyped(column.sql, column.type, column.nullable), column };
  }
  throw qualifier === ""
    ? new SqlError(207, `Invalid column name '${parts.at(-1)}'.`)
    : new SqlError(
        4104,
        `The multi-part identifier "${parts.join(".")}" could not be bound.`,
      );
}

/** The type that several values share. */
export function unifyAll(typed: readonly Typed[]): SqlType {
  const types = typed.filter((t) => !t.untyped).map((t) => t.type);
  return types.length === 0 ? int : types.reduce((a, b) => unifyTypes(a, b));
}

export function emitExpr(e: Emitter, expr: Expr, scope: Scope): Typed {
  const emit = (inner: Expr) => emitExpr(e, inner, scope);
  const test = (inner: Expr) => render(e, emit(inner));
  switch (expr.is) {
    case "null":
      return makeConstant(null, int, true);
    case "number":
      return emitNumber(expr.text);
    case "string": {
      const kind = expr.wide ? "nvarchar" : "varchar";
      const bytes = expr.wide ? 4000 : 8000;
      const length =
        expr.text.length > bytes ? -1 : Math.max(1, expr.text.length);
      return makeConstant(packText(expr.text), makeType(kind, { length }));
    }
    case "binary": {
      const digits = expr.text.slice(2);
      const bytes = Buffer.from(
        digits.length % 2 === 1 ? `0${digits}` : digits,
        "hex",
      );
      const length = bytes.length > 8000 ? -1 : Math.max(1, bytes.length);
      return makeConstant(bytes, makeType("varbinary", { length }));
    }
    case "variable": {
      const found = expr.name.startsWith("@@")
        ? e.global(expr.name)
        : e.variables.get(expr.name.toLowerCase());
      if (found === undefined || found === null)
        throw new SqlError(
          137,
          `Must declare the scalar variable "${expr.name}".`,
          15,
          2,
        );
      return "sql" in found ? found : makeConstant(found.value, found.type);
    }
    case "column":
      return findColumn(scope, expr.parts);
    case "star":
      throw new SqlError(102, "Incorrect syntax near '*'.", 15);
    case "unary": {
      if (expr.sign === "NOT") return makeTyped(`(NOT ${test(expr.of)})`, bit);
      const of = emit(expr.of);
      if (expr.sign === "-")
        return isDecimal(of.type) || isMoney(of.type)
          ? emitArithmetic(e, "-", makeConstant(0n, int), of)
          : makeTyped(`(-${render(e, of)})`, of.type, of.nullable);
      return makeTyped(`(~${render(e, of)})`, of.type, of.nullable);
    }
    case "infix":
      if (expr.sign === "AND" || expr.sign === "OR")
        return makeTyped(
          `(${test(expr.left)} ${expr.sign} ${test(expr.right)})`,
          bit,
        );
      if (["=", "<>", "<", "<=", ">", ">="].includes(expr.sign))
        return emitComparison(e, expr.sign, emit(expr.left), emit(expr.right));
      return emitArithmetic(e, expr.sign, emit(expr.left), emit(expr.right));
    case "isNull":
      return makeTyped(
        `(${test(expr.of)} IS ${expr.not ? "NOT " : ""}NULL)`,
        bit,
        false,
      );
    case "between": {
      const of = emit(expr.of);
      const low = emitComparison(e, ">=", of, emit(expr.low));
      const high = emitComparison(e, "<=", of, emit(expr.high));
      return makeTyped(
        `(${expr.not ? "NOT " : ""}(${low.sql} AND ${high.sql}))`,
        bit,
      );
    }
    case "in":
      return emitIn(e, expr, scope);
    case "like": {
      const pattern = coerce(
        e,
        emit(expr.pattern),
        makeType("nvarchar", { length: -1 }),
      );
      const escape =
        expr.escape === null ? "NULL" : render(e, emit(expr.escape));
      const of = emit(expr.of);
      return makeTyped(
        `(${expr.not ? "NOT " : ""}like_text(${render(e, coerce(e, of, makeType("nvarchar", { length: -1 })))}, ${render(e, pattern)}, ${escape}))`,
        bit,
      );
    }
    case "exists":
      return makeTyped(
        `EXISTS (${e.query(expr.query, scope).sql})`,
        bit,
        false,
      );
    case "case": {
      const thens = expr.whens.map(([, then]) => emit(then));
      const otherwise =
        expr.otherwise === null
          ? makeConstant(null, int, true)
          : emit(expr.otherwise);
      const type = unifyAll([...thens, otherwise]);
      const of = expr.of === null ? null : emit(expr.of);
      const branches = expr.whens.map(([when], i) => {
        const condition =
          of === null ? test(when) : emitComparison(e, "=", of, emit(when)).sql;
        return `WHEN ${condition} THEN ${render(e, coerce(e, thens[i]!, type))}`;
      });
      return makeTyped(
        `(CASE ${branches.join(" ")} ELSE ${render(e, coerce(e, otherwise, type))} END)`,
        type,
      );
    }
    case "cast": {
      const style =
        expr.style === null ? 0 : Number(emit(expr.style).value ?? 0);
      return coerce(e, emit(expr.of), expr.type, style, expr.tries);
    }
    case "call":
      return e.call(expr, scope);
    case "collate": {
      const of = emit(expr.of);
      const collation = findCollation(expr.name);
      const kind = isCharacter(of.type) ? of.type.kind : "nvarchar";
      const length = of.type.alias === "sysname" ? 128 : of.type.length;
      const { column: _, ...rest } = of;
      const type = makeType(kind, { length, collation });
      return { ...rest, type, collated: true };
    }
    case "query": {
      const { sql, columns } = e.query(expr.query, scope);
      return makeTyped(`(${sql})`, columns[0]!.type);
    }
  }
}

function emitIn(
  e: Emitter,
  expr: Extract<Expr, { is: "in" }>,
  scope: Scope,
): Typed {
  const of = emitExpr(e, expr.of, scope);
  const not = expr.not ? "NOT " : "";
  if ("selects" in expr.list) {
    const { sql, columns } = e.query(expr.list, scope);
    const [column] = columns;
    const inner = makeTyped("o1", column!.type);
    const [left, right] = unify(e, of, inner);
    return makeTyped(
      `(${renderKey(e, left)} ${not}IN (SELECT ${renderKey(e, right)} FROM (${sql})))`,
      bit,
    );
  }
  const tests = expr.list.map(
    (item) => emitComparison(e, "=", of, emitExpr(e, item, scope)).sql,
  );
  return makeTyped(`(${not}(${tests.join(" OR ")}))`, bit);
}
