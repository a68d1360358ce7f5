/** `@@x`, and functions that tell of the session or the server. @see SQL Server docs, "System functions" */
import { findCollation } from "../types/collations.ts";
import type { Storage } from "../types/storage.ts";
import { makeType } from "../types/types.ts";
import { packVariant } from "../types/variant.ts";
import type { SessionState } from "./compiler.ts";
import type { Database } from "./database.ts";
import { makeConstant, type Typed } from "./scope.ts";

const int = makeType("int");
const name = makeType("nvarchar", { length: 128 });

export function evaluateGlobal(
  variable: string,
  session: SessionState,
  database: Database,
): Typed | null {
  const number = (value: number) => makeConstant(BigInt(value), int);
  switch (variable.toUpperCase()) {
    case "@@VERSION":
      return makeConstant(
        database.versionText,
        makeType("nvarchar", { length: 300 }),
      );
    case "@@SERVERNAME":
      return makeConstant("MILLRACE-TEST", name);
    case "@@SPID":
      return makeConstant(BigInt(50 + session.id), makeType("smallint"));
    case "@@TRANCOUNT":
      return number(session.transactionCount);
    case "@@ROWCOUNT":
      return number(session.rowCount);
    case "@@ERROR":
      return number(0);
    case "@@LOCK_TIMEOUT":
      return number(-1);
    case "@@MAX_PRECISION":
      return makeConstant(38n, makeType("tinyint"));
    case "@@MICROSOFTVERSION":
      return number(Number.parseInt(database.productVersion, 10) << 24);
    case "@@LANGUAGE":
      return makeConstant("us_english", name);
    case "@@DBTS":
      return makeConstant(
        database.lastRowVersion,
        makeType("varbinary", { length: 8 }),
      );
    default:
      return null;
  }
}

/** @returns null when the function is none of these */
export function evaluateSession(
  of: string,
  args: readonly Storage[],
  database: Database,
  databaseName: string,
): Typed | null {
  const variant = makeType("sql_variant");
  const text = (value: string | null) =>
    makeConstant(
      value === null
        ? null
        : packVariant(value, makeType("nvarchar", { length: 128 })),
      variant,
    );
  const number = (value: number) =>
    makeConstant(packVariant(BigInt(value), int), variant);
  const property = String(args.at(-1) ?? "").toLowerCase();
  switch (of) {
    case "DB_NAME":
      return makeConstant(databaseName, name);
    case "DB_ID": {
      const wanted = String(args[0] ?? databaseName).toLowerCase();
      const at = database.databases.findIndex(
        (n) => n.toLowerCase() === wanted,
      );
      return makeConstant(at < 0 ? null : BigInt(at + 1), makeType("smallint"));
    }
    case "SERVERPROPERTY": {
      const texts: Record<string, string> = {
        productversion: database.productVersion,
        productlevel: "RTM",
        edition: "Developer Edition (64-bit)",
        collation: database.collation,
        servername: "MILLRACE-TEST",
        machinename: "MILLRACE-TEST",
      };
      const numbers: Record<string, number> = {
        engineedition: 3,
        productmajorversion: Number.parseInt(database.productVersion, 10),
        lcid: findCollation(database.collation).wire.readUInt16LE(),
      };
      if (property === "productmajorversion")
        return text(String(numbers[property]));
      return property in numbers
        ? number(numbers[property]!)
        : text(texts[property] ?? null);
    }
    case "DATABASEPROPERTYEX": {
      const texts: Record<string, string> = {
        collation: database.collation,
        status: "ONLINE",
        updateability: "READ_WRITE",
        recovery: "SIMPLE",
      };
      if (property === "issnapshotisolationstate")
        return number(Number(database.snapshotAllowed));
      return text(texts[property] ?? null);
    }
    case "HAS_DBACCESS":
      return makeConstant(1n, int);
    case "XACT_STATE":
      return makeConstant(0n, makeType("smallint"));
    case "USER_NAME":
    case "SUSER_SNAME":
    case "SUSER_NAME":
    case "ORIGINAL_LOGIN":
      return makeConstant("dbo", name);
    case "APP_NAME":
    case "HOST_NAME":
      return makeConstant("test", name);
    case "MIN_ACTIVE_ROWVERSION":
      return makeConstant(
        database.lastRowVersion,
        makeType("binary", { length: 8 }),
      );
    default:
      return null;
  }
}
