/** What the parser makes of T-SQL. */
import type { SqlType } from "../types/types.ts";

export type Expr =
  | { readonly is: "null" }
  | { readonly is: "number"; readonly text: string }
  | { readonly is: "string"; readonly text: string; readonly wide: boolean }
  | { readonly is: "binary"; readonly text: string }
  | { readonly is: "variable"; readonly name: string }
  | { readonly is: "column"; readonly parts: readonly string[] }
  | { readonly is: "star"; readonly parts: readonly string[] }
  | { readonly is: "unary"; readonly sign: string; readonly of: Expr }
  | {
      readonly is: "infix";
      readonly sign: string;
      readonly left: Expr;
      readonly right: Expr;
    }
  | { readonly is: "isNull"; readonly of: Expr; readonly not: boolean }
  | {
      readonly is: "in";
      readonly of: Expr;
      readonly list: readonly Expr[] | Query;
      readonly not: boolean;
    }
  | {
      readonly is: "between";
      readonly of: Expr;
      readonly low: Expr;
      readonly high: Expr;
      readonly not: boolean;
    }
  | {
      readonly is: "like";
      readonly of: Expr;
      readonly pattern: Expr;
      readonly escape: Expr | null;
      readonly not: boolean;
    }
  | { readonly is: "exists"; readonly query: Query }
  | {
      readonly is: "case";
      readonly of: Expr | null;
      readonly whens: readonly (readonly [when: Expr, then: Expr])[];
      readonly otherwise: Expr | null;
    }
  | {
      readonly is: "cast";
      readonly of: Expr;
      readonly type: SqlType;
      readonly style: Expr | null;
      /** TRY_CAST and TRY_CONVERT: NULL instead of an error. */
      readonly tries: boolean;
    }
  | {
      readonly is: "call";
      /** In capitals. */
      readonly name: string;
      readonly args: readonly Expr[];
      readonly distinct: boolean;
      readonly over: Window | null;
    }
  | { readonly is: "collate"; readonly of: Expr; readonly name: string }
  | { readonly is: "query"; readonly query: Query };

export interface Window {
  readonly partitionBy: readonly Expr[];
  readonly orderBy: readonly OrderItem[];
}

export interface OrderItem {
  readonly by: Expr;
  readonly descending: boolean;
}

export interface Query {
  readonly with: readonly CommonTable[];
  readonly selects: readonly Select[];
  /** Between the selects: `UNION ALL`. */
  readonly unions: readonly string[];
  readonly orderBy: readonly OrderItem[];
  readonly offset: Expr | null;
  readonly fetch: Expr | null;
}

export interface CommonTable {
  readonly name: string;
  readonly columns: readonly string[];
  readonly query: Query;
}

export interface Select {
  readonly distinct: boolean;
  readonly top: { readonly count: Expr; readonly percent: boolean } | null;
  readonly items: readonly SelectItem[];
  readonly into: readonly string[] | null;
  readonly from: readonly FromItem[];
  readonly where: Expr | null;
  readonly groupBy: readonly Expr[];
  readonly having: Expr | null;
}

export interface SelectItem {
  readonly of: Expr;
  readonly name: string | null;
}

export interface Alias {
  readonly alias: string | null;
  readonly columns: readonly string[];
}

export type FromItem =
  | ({
      readonly is: "table";
      readonly parts: readonly string[];
      /** In capitals. */
      readonly hints: readonly string[];
      readonly sample: Sample | null;
    } & Alias)
  | ({ readonly is: "derived"; readonly query: Query } & Alias)
  | ({
      readonly is: "values";
      readonly rows: readonly (readonly Expr[])[];
    } & Alias)
  | ({
      readonly is: "function";
      readonly parts: readonly string[];
      readonly args: readonly Expr[];
    } & Alias)
  | {
      readonly is: "join";
      /** `INNER`, `LEFT`, `RIGHT`, `FULL`, `CROSS`, `CROSS APPLY`, `OUTER APPLY`. */
      readonly how: string;
      readonly left: FromItem;
      readonly right: FromItem;
      readonly on: Expr | null;
    };

export interface Sample {
  readonly amount: Expr;
  readonly unit: "PERCENT" | "ROWS";
  readonly seed: Expr | null;
}

export interface ColumnDefinition {
  readonly name: string;
  readonly type: SqlType;
  /** Null when not said: then it takes NULL unless a primary key says otherwise. */
  readonly nullable: boolean | null;
  readonly identity: { readonly seed: bigint; readonly step: bigint } | null;
  readonly defaultTo: Expr | null;
}

export interface IndexDefinition {
  readonly name: string | null;
  readonly columns: readonly {
    readonly name: string;
    readonly descending: boolean;
  }[];
  readonly included: readonly string[];
  readonly unique: boolean;
  /** Null when not said: a primary key is clustered then, if no other index is. */
  readonly clustered: boolean | null;
  readonly kind: "index" | "primaryKey" | "uniqueConstraint";
}

export type Statement =
  | { readonly is: "select"; readonly query: Query }
  | {
      readonly is: "insert";
      readonly table: readonly string[];
      readonly columns: readonly string[];
      readonly source: readonly (readonly (Expr | null)[])[] | Query;
    }
  | {
      readonly is: "update";
      readonly table: readonly string[];
      readonly sets: readonly (readonly [string, Expr])[];
      readonly where: Expr | null;
    }
  | {
      readonly is: "delete";
      readonly table: readonly string[];
      readonly where: Expr | null;
    }
  | { readonly is: "truncate"; readonly table: readonly string[] }
  | {
      readonly is: "createTable";
      readonly table: readonly string[];
      readonly columns: readonly ColumnDefinition[];
      readonly indexes: readonly IndexDefinition[];
    }
  | {
      readonly is: "createIndex";
      readonly table: readonly string[];
      readonly index: IndexDefinition;
    }
  | {
      readonly is: "createView";
      readonly view: readonly string[];
      readonly query: Query;
    }
  | {
      readonly is: "createStatistics";
      readonly table: readonly string[];
      readonly name: string;
      readonly columns: readonly string[];
    }
  | { readonly is: "createSchema"; readonly name: string }
  | { readonly is: "createDatabase"; readonly name: string }
  | {
      readonly is: "dropTable";
      readonly tables: readonly (readonly string[])[];
      readonly ifExists: boolean;
    }
  | {
      readonly is: "dropIndex";
      readonly table: readonly string[];
      readonly name: string;
    }
  | {
      readonly is: "addColumns";
      readonly table: readonly string[];
      readonly columns: readonly ColumnDefinition[];
      readonly indexes: readonly IndexDefinition[];
    }
  | {
      readonly is: "alterColumn";
      readonly table: readonly string[];
      readonly column: ColumnDefinition;
    }
  | {
      readonly is: "dropColumns";
      readonly table: readonly string[];
      readonly names: readonly string[];
    }
  | {
      readonly is: "alterDatabase";
      readonly option: string;
      readonly on: boolean;
    }
  | { readonly is: "set"; readonly option: string; readonly value: string }
  | { readonly is: "isolation"; readonly level: string }
  | {
      readonly is: "declare";
      readonly name: string;
      readonly type: SqlType;
      readonly value: Expr | null;
    }
  | { readonly is: "assign"; readonly name: string; readonly value: Expr }
  | { readonly is: "begin" | "commit" | "rollback" | "nothing" }
  | { readonly is: "use"; readonly database: string }
  | { readonly is: "print"; readonly value: Expr }
  | { readonly is: "raise"; readonly args: readonly Expr[] }
  | { readonly is: "wait"; readonly ms: Expr }
  | {
      readonly is: "if";
      readonly test: Expr;
      readonly body: readonly Statement[];
      readonly otherwise: readonly Statement[];
    }
  | { readonly is: "execute"; readonly sql: Expr };
