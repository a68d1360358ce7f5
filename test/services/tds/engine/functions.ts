/** Functions of T-SQL. @see SQL Server docs, "What are the SQL database functions?" */
import type { Expr } from "../sql/ast.ts";
import { SqlError } from "../types/storage.ts";
import {
  isCharacter,
  isDecimal,
  isFloat,
  isInteger,
  isMoney,
  makeType,
  type SqlType,
} from "../types/types.ts";
import {
  coerce,
  emitExpr,
  render,
  renderKey,
  unify,
  unifyAll,
  type Emitter,
} from "./emit.ts";
import { makeTyped, numberType, type Scope, type Typed } from "./scope.ts";

type Call = Extract<Expr, { is: "call" }>;

const int = makeType("int");
const bigint = makeType("bigint");
const float = makeType("float");
const anyText = makeType("nvarchar", { length: -1 });
const text = makeType("nvarchar", { length: 4000 });
const name = makeType("nvarchar", { length: 128, alias: "sysname" });
const datetime = makeType("datetime");
const datetime2 = makeType("datetime2", { scale: 7 });

/** Functions that are SQLite's own, or registered with the connection, under these names. */
const plain: Record<
  string,
  { sql: string; args: readonly (SqlType | null)[]; gives: SqlType | "first" }
> = {
  LEN: { sql: "text_length", args: [anyText], gives: int },
  LOWER: { sql: "lower_text", args: [anyText], gives: "first" },
  UPPER: { sql: "upper_text", args: [anyText], gives: "first" },
  LTRIM: { sql: "ltrim", args: [anyText], gives: "first" },
  RTRIM: { sql: "rtrim", args: [anyText], gives: "first" },
  TRIM: { sql: "trim", args: [anyText], gives: "first" },
  REVERSE: { sql: "reverse_text", args: [anyText], gives: "first" },
  LEFT: { sql: "left_text", args: [anyText, int], gives: "first" },
  RIGHT: { sql: "right_text", args: [anyText, int], gives: "first" },
  REPLICATE: { sql: "repeat_text", args: [anyText, bigint], gives: anyText },
  SPACE: { sql: "space_text", args: [int], gives: text },
  CHAR: { sql: "char", args: [int], gives: makeType("char", { length: 1 }) },
  NCHAR: { sql: "char", args: [int], gives: makeType("nchar", { length: 1 }) },
  UNICODE: { sql: "unicode", args: [anyText], gives: int },
  ASCII: { sql: "unicode", args: [anyText], gives: int },
  CHARINDEX: { sql: "find_text", args: [anyText, anyText, bigint], gives: int },
  REPLACE: {
    sql: "replace",
    args: [anyText, anyText, anyText],
    gives: anyText,
  },
  QUOTENAME: {
    sql: "quote_name",
    args: [anyText, anyText],
    gives: makeType("nvarchar", { length: 258 }),
  },
  PARSENAME: { sql: "parse_name", args: [anyText, int], gives: name },
  FLOOR: { sql: "floor", args: [float], gives: float },
  CEILING: { sql: "ceil", args: [float], gives: float },
  SQRT: { sql: "sqrt", args: [float], gives: float },
  POWER: { sql: "pow", args: [float, float], gives: float },
  LOG: { sql: "ln", args: [float], gives: float },
  RAND: { sql: "random_number", args: [int], gives: float },
  NEWID: { sql: "new_guid", args: [], gives: makeType("uniqueidentifier") },
  GETDATE: { sql: "now_datetime", args: [], gives: datetime },
  GETUTCDATE: { sql: "now_datetime", args: [], gives: datetime },
  CURRENT_TIMESTAMP: { sql: "now_datetime", args: [], gives: datetime },
  SYSDATETIME: { sql: "now_datetime2", args: [], gives: datetime2 },
  SYSUTCDATETIME: { sql: "now_datetime2", args: [], gives: datetime2 },
  SYSDATETIMEOFFSET: {
    sql: "now_datetimeoffset",
    args: [],
    gives: makeType("datetimeoffset", { scale: 7 }),
  },
  CHECKSUM: {
    sql: "checksum",
    args: [null, null, null, null, null, null],
    gives: int,
  },
  BINARY_CHECKSUM: {
    sql: "checksum",
    args: [null, null, null, null, null, null],
    gives: int,
  },
  OBJECT_ID: { sql: "object_id", args: [anyText, anyText], gives: int },
  OBJECT_NAME: { sql: "object_name", args: [int, int], gives: name },
  OBJECT_SCHEMA_NAME: {
    sql: "object_schema_name",
    args: [int, int],
    gives: name,
  },
  SCHEMA_ID: { sql: "schema_id", args: [anyText], gives: int },
  SCHEMA_NAME: { sql: "schema_name", args: [int], gives: name },
  TYPE_NAME: { sql: "type_name", args: [int], gives: name },
  TYPE_ID: { sql: "type_id", args: [anyText], gives: int },
  COL_NAME: { sql: "col_name", args: [int, int], gives: name },
  COLUMNPROPERTY: {
    sql: "column_property",
    args: [int, anyText, anyText],
    gives: int,
  },
  OBJECTPROPERTY: { sql: "object_property", args: [int, anyText], gives: int },
  INDEX_COL: { sql: "index_col", args: [anyText, int, int], gives: name },
  INDEXPROPERTY: {
    sql: "index_property",
    args: [int, anyText, anyText],
    gives: int,
  },
  COLLATIONPROPERTY: {
    sql: "collation_property",
    args: [anyText, anyText],
    gives: int,
  },
  STATS_DATE: { sql: "now_datetime", args: [], gives: datetime },
  HAS_PERMS_BY_NAME: {
    sql: "has_permission",
    args: [anyText, anyText, anyText],
    gives: int,
  },
};

/** Functions of windows, by what they give; null: the type of the first argument. */
const ranking: Record<string, SqlType | null> = {
  ROW_NUMBER: bigint,
  RANK: bigint,
  DENSE_RANK: bigint,
  NTILE: bigint,
  PERCENT_RANK: float,
  CUME_DIST: float,
  LAG: null,
  LEAD: null,
  FIRST_VALUE: null,
  LAST_VALUE: null,
};

function emitWindow(e: Emitter, call: Call, scope: Scope): string {
  if (call.over === null) return "";
  const key = (inner: Expr) => renderKey(e, emitExpr(e, inner, scope));
  const partition = call.over.partitionBy.map(key).join(", ");
  const order = call.over.orderBy
    // (SELECT NULL), which says that the order does not matter
    .filter(({ by }) => by.is !== "query")
    .map(({ by, descending }) => `${key(by)}${descending ? " DESC" : ""}`)
    .join(", ");
  return ` OVER (${partition === "" ? "" : `PARTITION BY ${partition} `}${order === "" ? "" : `ORDER BY ${order}`})`;
}

function emitAggregate(e: Emitter, call: Call, scope: Scope): Typed | null {
  const over = emitWindow(e, call, scope);
  const [first] = call.args;
  const distinct = call.distinct ? "DISTINCT " : "";
  if (call.name === "COUNT" || call.name === "COUNT_BIG") {
    const type = call.name === "COUNT" ? int : bigint;
    const of =
      first === undefined || first.is === "star"
        ? "*"
        : distinct + renderKey(e, emitExpr(e, first, scope));
    return makeTyped(`COUNT(${of})${over}`, type, false);
  }
  if (first === undefined) return null;
  const isCounting = [
    "MIN",
    "MAX",
    "SUM",
    "AVG",
    "STRING_AGG",
    "STDEV",
  ].includes(call.name);
  if (!isCounting) return null;
  const of = emitExpr(e, first, scope);
  const sql = render(e, of);
  switch (call.name) {
    case "MIN":
    case "MAX":
      // by its key, which for text is not the value
      return isCharacter(of.type) && of.type.alias === null
        ? makeTyped(
            `${call.name.toLowerCase()}_text(${sql}, ${renderKey(e, of)})${over}`,
            of.type,
          )
        : makeTyped(`${call.name}(${sql})${over}`, of.type);
    case "STRING_AGG": {
      const separator = render(e, emitExpr(e, call.args[1]!, scope));
      return makeTyped(`group_concat(${sql}, ${separator})${over}`, anyText);
    }
    default: {
      if (isFloat(of.type))
        return makeTyped(`${call.name}(${distinct}${sql})${over}`, float);
      if (isInteger(of.type)) {
        const type = of.type.kind === "bigint" ? bigint : int;
        const total = `SUM(${distinct}${sql})${over}`;
        return call.name === "SUM"
          ? makeTyped(total, type)
          : makeTyped(`(${total} / COUNT(${distinct}${sql})${over})`, type);
      }
      const type = isMoney(of.type)
        ? makeType("money")
        : makeType("decimal", {
            precision: 38,
            scale:
              call.name === "AVG" ? Math.max(6, of.type.scale) : of.type.scale,
          });
      return makeTyped(
        `${call.name.toLowerCase()}_exact(${sql}, ${numberType(of.type)}, ${numberType(type)})${over}`,
        type,
      );
    }
  }
}

const dateParts: Record<string, string> = {
  YEAR: "year",
  MONTH: "month",
  DAY: "day",
};

export function emitCall(e: Emitter, call: Call, scope: Scope): Typed {
  const aggregate = emitAggregate(e, call, scope);
  if (aggregate !== null) return aggregate;
  if (call.name in ranking) {
    const args = call.args.map((arg) => emitExpr(e, arg, scope));
    const type = ranking[call.name] ?? args[0]?.type ?? bigint;
    const sql = args.map((arg) => render(e, arg)).join(", ");
    return makeTyped(`${call.name}(${sql})${emitWindow(e, call, scope)}`, type);
  }
  if (["DATEADD", "DATEDIFF", "DATEDIFF_BIG", "DATEPART"].includes(call.name))
    return emitDateCall(e, call, scope);
  const args = call.args.map((arg) => emitExpr(e, arg, scope));
  const session = e.session(
    call.name,
    args.map((arg) => arg.value),
  );
  if (session !== null) return session;
  const simple = plain[call.name];
  if (simple !== undefined) {
    const sql = args.map((arg, i) => {
      const type = simple.args[i];
      return render(
        e,
        type === null || type === undefined ? arg : coerce(e, arg, type),
      );
    });
    const [first] = args;
    const gives =
      simple.gives === "first"
        ? first !== undefined && isCharacter(first.type)
          ? first.type.alias === null
            ? first.type
            : text
          : text
        : simple.gives;
    // these keep the type of an exact number
    if (
      ["FLOOR", "CEILING"].includes(call.name) &&
      first !== undefined &&
      isDecimal(first.type)
    )
      return coerce(
        e,
        makeTyped(`${simple.sql}(${sql.join(", ")})`, float),
        first.type,
      );
    return makeTyped(`${simple.sql}(${sql.join(", ")})`, gives);
  }
  switch (call.name) {
    case "ISNULL":
    case "COALESCE": {
      const type =
        call.name === "ISNULL" && !args[0]!.untyped
          ? args[0]!.type
          : unifyAll(args);
      const sql = args.map((arg) => render(e, coerce(e, arg, type)));
      return makeTyped(
        `coalesce(${sql.join(", ")})`,
        type,
        args.every((arg) => arg.nullable),
      );
    }
    case "NULLIF": {
      const [a, b] = unify(e, args[0]!, args[1]!);
      return makeTyped(
        `(CASE WHEN ${renderKey(e, a)} = ${renderKey(e, b)} THEN NULL ELSE ${render(e, args[0]!)} END)`,
        args[0]!.type,
      );
    }
    case "IIF": {
      const type = unifyAll(args.slice(1));
      return makeTyped(
        `(CASE WHEN ${render(e, args[0]!)} THEN ${render(e, coerce(e, args[1]!, type))} ELSE ${render(e, coerce(e, args[2]!, type))} END)`,
        type,
      );
    }
    case "ABS":
    case "SIGN": {
      const { type } = args[0]!;
      if (isInteger(type) || isFloat(type) || isMoney(type))
        return makeTyped(
          `${call.name.toLowerCase()}(${render(e, args[0]!)})`,
          type,
        );
      return makeTyped(`abs_exact(${render(e, args[0]!)})`, type);
    }
    case "ROUND":
      return coerce(
        e,
        makeTyped(
          `round_number(${args.map((arg) => render(e, coerce(e, arg, float))).join(", ")})`,
          float,
        ),
        args[0]!.type,
      );
    case "SUBSTRING": {
      const sql = args.map((arg) => render(e, arg)).join(", ");
      return isCharacter(args[0]!.type)
        ? makeTyped(
            `substring_text(${sql})`,
            args[0]!.type.alias === null ? args[0]!.type : text,
          )
        : makeTyped(`substr(${sql})`, args[0]!.type);
    }
    case "CONCAT":
      return makeTyped(
        `(${args.map((arg) => `coalesce(${render(e, coerce(e, arg, anyText))}, '')`).join(" || ")})`,
        anyText,
        false,
      );
    case "DATALENGTH": {
      const { type } = args[0]!;
      const gives = type.length === -1 ? bigint : int;
      return makeTyped(
        `data_length(${render(e, args[0]!)}, ${numberType(type)})`,
        gives,
      );
    }
    case "HASHBYTES": {
      const [algorithm, of] = args;
      const type = makeType("varbinary", { length: 8000 });
      return makeTyped(
        `hash_bytes(${render(e, algorithm!)}, ${render(e, coerce(e, of!, type))})`,
        type,
      );
    }
    case "SQL_VARIANT_PROPERTY":
      return makeTyped(
        `variant_property(${args.map((arg) => render(e, arg)).join(", ")})`,
        text,
      );
    default: {
      const part = dateParts[call.name];
      if (part !== undefined) return emitDatePart(e, part, args[0]!);
      throw new SqlError(
        195,
        `'${call.name}' is not a recognized built-in function name.`,
        15,
        10,
      );
    }
  }
}

function emitDatePart(e: Emitter, part: string, of: Typed): Typed {
  const moment = isCharacter(of.type) ? coerce(e, of, datetime2) : of;
  return makeTyped(
    `date_part('${part}', ${render(e, moment)}, ${numberType(moment.type)})`,
    int,
  );
}

/** The first argument is a word: `DATEADD(day, 1, d)`. */
function emitDateCall(e: Emitter, call: Call, scope: Scope): Typed {
  const [word, ...rest] = call.args;
  if (word?.is !== "column")
    throw new SqlError(
      1023,
      `Invalid parameter 1 specified for ${call.name}.`,
      15,
    );
  const part = word.parts.at(-1)!.toLowerCase();
  const args = rest.map((arg) => emitExpr(e, arg, scope));
  if (call.name === "DATEPART") return emitDatePart(e, part, args[0]!);
  if (call.name === "DATEADD") {
    const moment = isCharacter(args[1]!.type)
      ? coerce(e, args[1]!, datetime)
      : args[1]!;
    return makeTyped(
      `date_add('${part}', ${render(e, coerce(e, args[0]!, bigint))}, ${render(e, moment)}, ${numberType(moment.type)})`,
      moment.type,
    );
  }
  const [from, to] = args.map((arg) => coerce(e, arg, datetime2));
  return makeTyped(
    `date_diff('${part}', ${render(e, from!)}, ${render(e, to!)})`,
    call.name === "DATEDIFF" ? int : bigint,
  );
}
