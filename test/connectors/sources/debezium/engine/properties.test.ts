import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  binlogOffset,
  positionOf,
  postgresOffset,
} from "../../../../../connectors/sources/debezium/engine/offsets.ts";
import {
  debeziumProperties,
  type BinlogLog,
  type PostgresLog,
} from "../../../../../connectors/sources/debezium/engine/properties.ts";
import { parseSourceUrl as parseMysqlUrl } from "../../../../../connectors/sources/mysql/url.ts";
import { parseSourceUrl as parsePostgresUrl } from "../../../../../connectors/sources/postgres/url.ts";

const tables = [{ namespace: "public", name: "a,b.c d" }];
const postgres: PostgresLog = {
  kind: "postgres",
  address: parsePostgresUrl("postgres://u:p@h:5433/d", {}),
  slot: "s",
  publication: "p",
  tables,
  unavailableValue: "x",
  heartbeatQuery: null,
};
const mysql: BinlogLog = {
  kind: "mysql",
  address: parseMysqlUrl("mysql://u:p@h/d?ssl-mode=verify-identity", {}),
  serverId: 7,
  definitions: "recovery",
  tables,
  unavailableValue: "x",
};

test("what could lose or invent something is never left to a default", () => {
  expect(debeziumProperties(postgres)).toMatchObject({
    "publication.autocreate.mode": "disabled",
    "lsn.flush.mode": "connector",
    "offset.mismatch.strategy": "no_validation",
    "slot.drop.on.stop": "false",
    "snapshot.mode": "no_data",
    "skipped.operations": "none",
    "event.processing.failure.handling.mode": "fail",
    "provide.transaction.metadata": "true",
  });
  expect(debeziumProperties(mysql)).toMatchObject({
    "snapshot.mode": "recovery",
    "connect.keep.alive": "false",
    "schema.history.internal.skip.unparseable.ddl": "false",
    "inconsistent.schema.handling.mode": "fail",
    "enable.time.adjuster": "false",
    "database.ssl.mode": "verify_identity",
  });
  expect(
    debeziumProperties({ ...mysql, definitions: "history" })["snapshot.mode"],
  ).toBe("no_data");
});

test("a table's pattern means this table alone, and no comma cuts it in two", () => {
  const pattern = debeziumProperties(postgres)["table.include.list"] ?? "";
  expect(pattern).not.toContain(",");
  // Java's \x{…} is JavaScript's \u{…}
  const matcher = new RegExp(`^${pattern.replaceAll("\\x{", "\\u{")}$`, "u");
  expect("public.a,b.c d").toMatch(matcher);
  expect("public.a,bxc d").not.toMatch(matcher);
});

test("a Unix socket is refused by name", () => {
  const address = parsePostgresUrl("postgres:///d?host=/tmp", {});
  expect(() => debeziumProperties({ ...postgres, address })).toThrow(
    expect.objectContaining({ code: "USAGE" }),
  );
});

test("certificates go to the engine as paths, and a key as what Java reads, over stdin", () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-key-"));
  try {
    const sslKey = join(folder, "key.pem");
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    writeFileSync(sslKey, privateKey.export({ type: "sec1", format: "pem" }));
    const files = { sslCa: "/ca.pem", sslCert: "/cert.pem", sslKey };
    const tell = (sslMode: "required" | "disabled" | "verify-ca") => {
      const address = { ...mysql.address, ...files, sslMode };
      return Object.entries(debeziumProperties({ ...mysql, address })).filter(
        ([name]) => name.startsWith("millrace.tls."),
      );
    };
    const der = privateKey.export({ type: "pkcs8", format: "der" });
    const own = [
      ["millrace.tls.cert", "/cert.pem"],
      ["millrace.tls.key", der.toString("base64")],
    ];
    expect(tell("verify-ca")).toEqual([["millrace.tls.ca", "/ca.pem"], ...own]);
    expect(tell("required")).toEqual(own);
    expect(tell("disabled")).toEqual([]);
    writeFileSync(sslKey, "no key");
    expect(() => tell("required")).toThrow(
      expect.objectContaining({ code: "SOURCE_TLS_FAILED" }),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a definition is foreign only where it names no table that is followed", () => {
  const foreign = (names: readonly string[]) => {
    const tables = names.map((name) => ({ namespace: "d", name }));
    const pattern = debeziumProperties({ ...mysql, tables })[
      "millrace.ddl.foreign"
    ];
    if (pattern === undefined) return null;
    expect(pattern).not.toContain(",");
    // the engine sets the flags that the first group adds to
    const own = pattern.slice("(?u)".length).replaceAll("\\x{", "\\u{");
    return new RegExp(`^(?:${own})$`, "isu");
  };
  const pattern = foreign(["orders", "a,b"]);
  for (const sql of [
    "CREATE TABLE peers (peer inet6)",
    "create or replace table d.`old_orders` (a inet4)",
    "SET STATEMENT max_statement_time=1 FOR ALTER TABLE x ADD p inet6",
  ])
    expect(sql).toMatch(pattern ?? /^$/);
  for (const sql of [
    "ALTER TABLE Orders ADD p inet6",
    "CREATE TABLE x LIKE d.`orders`",
    "ALTER TABLE x RENAME TO `a,b`",
    "DROP DATABASE d",
    "RENAME TABLE orders TO x",
    "DROP TABLE x",
  ])
    expect(sql).not.toMatch(pattern ?? /^$/);
  // how it is written in a statement depends on the quotes
  expect(foreign(["a`b"])).toBeNull();
});

test("offsets compare with the positions of transactions", () => {
  const lsn = 0xffff_ffff_ffff_fff0n;
  expect(positionOf(postgresOffset(lsn))).toBe("0000fffffffffffffff0");
  const place = { file: "binlog.000018", position: 345n, gtids: "a-b:1-\n5" };
  const offset = binlogOffset(place);
  expect(JSON.parse(offset)).toEqual({
    file: "binlog.000018",
    pos: 345,
    gtids: "a-b:1-5",
  });
  expect(positionOf(offset)).toBe("00000012000000000159");
  expect(() => positionOf("{}" as typeof offset)).toThrow(
    expect.objectContaining({ code: "STATE_INCOMPATIBLE" }),
  );
});
