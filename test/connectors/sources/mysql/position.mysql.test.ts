import fc from "fast-check";
import {
  compareKey,
  keyLiteral,
  keyText,
  quoteLiteral,
} from "../../../../connectors/sources/mysql/sql.ts";
import {
  describe,
  expect,
  flavours,
  type MysqlFlavour,
} from "../../../fixtures/mysql.ts";
import { testWithConnection } from "./support/connected.ts";
import { makeTask, readTask } from "./support/tasks.ts";

const chars = fc.string({ unit: "grapheme", maxLength: 20 }).map(quoteLiteral);
const latin = fc
  .string({
    unit: fc.constantFrom(..."aAbBzZ äÄéÉß€ÿ'\\%_-09".split("")),
    maxLength: 20,
  })
  .map(quoteLiteral);
const hex = (minLength: number, maxLength: number) =>
  fc
    .uint8Array({ minLength, maxLength })
    .map((bytes) => `X'${Buffer.from(bytes).toString("hex")}'`);
const date = fc
  .date({
    min: new Date("0001-01-01T00:00:00Z"),
    max: new Date("9999-12-31T00:00:00Z"),
    noInvalidDate: true,
  })
  .map((at) => `'${at.toISOString().slice(0, 10)}'`);
const clock = fc
  .tuple(
    fc.nat({ max: 23 }),
    fc.nat({ max: 59 }),
    fc.nat({ max: 59 }),
    fc.nat({ max: 999_999 }),
  )
  .map(
    ([h, m, s, us]) =>
      `${[h, m, s].map((part) => String(part).padStart(2, "0")).join(":")}.${String(us).padStart(6, "0")}`,
  );
const datetime = fc
  .tuple(date, clock)
  .map(([day, time]) => `${day.slice(0, -1)} ${time}'`);

interface KeyTypeCase {
  readonly type: string;
  /** SQL of values. */
  readonly values: fc.Arbitrary<string>;
  readonly only?: MysqlFlavour;
}

const keyTypes: readonly KeyTypeCase[] = [
  {
    type: "tinyint",
    values: fc.integer({ min: -128, max: 127 }).map(String),
  },
  { type: "tinyint(1)", values: fc.nat({ max: 1 }).map(String) },
  {
    type: "smallint unsigned",
    values: fc.nat({ max: 65_535 }).map(String),
  },
  {
    type: "mediumint",
    values: fc.integer({ min: -8_388_608, max: 8_388_607 }).map(String),
  },
  { type: "int", values: fc.integer().map(String) },
  {
    type: "int unsigned zerofill",
    values: fc.nat({ max: 4_294_967_295 }).map(String),
  },
  {
    type: "bigint",
    values: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  },
  {
    type: "bigint unsigned",
    values: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
  },
  { type: "bit(1)", values: fc.nat({ max: 1 }).map(String) },
  {
    type: "bit(64)",
    values: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
  },
  { type: "year", values: fc.integer({ min: 1901, max: 2155 }).map(String) },
  {
    type: "decimal(12,3)",
    values: fc.integer().map((v) => (v / 1000).toFixed(3)),
  },
  {
    type: "decimal(38,5)",
    values: fc
      .bigInt({ min: -(10n ** 32n), max: 10n ** 32n })
      .map((v) => `${v}.12345`),
  },
  {
    type: "decimal(65,30)",
    values: fc
      .bigInt({ min: -(10n ** 34n), max: 10n ** 34n })
      .map((v) => `${v}.123456789012345678901234567890`),
  },
  { type: "date", values: date },
  { type: "datetime", values: datetime },
  { type: "datetime(3)", values: datetime },
  { type: "datetime(6)", values: datetime },
  {
    type: "timestamp(6)",
    values: fc
      .integer({ min: 1, max: 2_147_483_646 })
      .map((s) => `FROM_UNIXTIME(${s}.${String(s).slice(0, 6)})`),
  },
  {
    type: "time(4)",
    values: fc
      .tuple(fc.boolean(), fc.nat({ max: 837 }), clock)
      .map(
        ([negative, hour, rest]) =>
          `'${negative ? "-" : ""}${hour}:${rest.slice(3)}'`,
      ),
  },
  { type: "char(40)", values: chars },
  { type: "varchar(40)", values: chars },
  { type: "varchar(40) COLLATE utf8mb4_bin", values: chars },
  { type: "varchar(40) COLLATE utf8mb4_unicode_ci", values: chars },
  {
    type: "varchar(40) COLLATE utf8mb4_0900_ai_ci",
    values: chars,
    only: "mysql",
  },
  {
    type: "varchar(40) COLLATE utf8mb4_0900_as_cs",
    values: chars,
    only: "mysql",
  },
  {
    type: "varchar(40) COLLATE utf8mb4_unicode_520_nopad_ci",
    values: chars,
    only: "mariadb",
  },
  { type: "varchar(40) CHARACTER SET latin1", values: latin },
  {
    type: "char(40) CHARACTER SET latin1 COLLATE latin1_german2_ci",
    values: latin,
  },
  { type: "varchar(40) CHARACTER SET utf16", values: chars },
  {
    type: "varchar(40) CHARACTER SET ascii",
    values: fc.string({ maxLength: 20 }).map(quoteLiteral),
  },
  { type: "binary(16)", values: hex(0, 16) },
  { type: "varbinary(20)", values: hex(0, 20) },
  {
    type: "uuid",
    values: fc.uuid().map((uuid) => `'${uuid}'`),
    only: "mariadb",
  },
  { type: "inet6", values: fc.ipV6().map((ip) => `'${ip}'`), only: "mariadb" },
  { type: "inet4", values: fc.ipV4().map((ip) => `'${ip}'`), only: "mariadb" },
];

describe.each(flavours)("%s", (flavour) => {
  const test = testWithConnection(flavour);

  test.for(
    keyTypes.filter(({ only }) => only === undefined || only === flavour),
  )(
    "a position finds its row, and the rows behind it: $type",
    async ({ type, values }, { server, connection }) => {
      await server.query(
        `SET time_zone = '+00:00', sql_mode = ''; CREATE TABLE t (k ${type} NOT NULL, n int, PRIMARY KEY (k)) CHARACTER SET utf8mb4`,
      );
      const sample = fc.sample(values, { numRuns: 40, seed: 11 });
      // what is equal under the collation is one key
      await server.query(
        `INSERT IGNORE INTO t VALUES ${sample.map((value, n) => `(${value}, ${n})`).join(", ")}`,
      );
      const inOrder = await server.query("SELECT n FROM t ORDER BY k");
      for (const columns of [["k", "n"], ["n"]]) {
        const task = await makeTask(connection, "t", { key: ["k"], columns });
        const { split } = task.partition;
        const type = split.kind === "key" ? (split.types[0] ?? "") : "";
        for (const [index, { n }] of inOrder.entries()) {
          const where = `n = ${n}`;
          const decoder = index % 2 === 0 ? "generated" : "interpreted";
          const { sink } = await readTask(
            connection,
            { ...task, filter: { where, cursor: null } },
            { decoder },
            (read) => read.requestCheckpoint(),
          );
          expect(sink.rows).toHaveLength(1);
          const position = sink.checkpoints[0]?.position ?? null;
          const text =
            position?.kind === "key" ? (position.after[0] ?? "") : "";
          const [row] = await connection.query<{ n: number; text: string }>(
            `SELECT n, ${keyText("k", type)} AS text FROM t WHERE k = ${keyLiteral(type, text)}`,
          );
          expect(row?.n).toBe(n);
          // what plans are made of finds it as well
          expect(
            await connection.query(
              `SELECT n FROM t WHERE k = ${keyLiteral(type, row?.text ?? "")}`,
            ),
          ).toEqual([{ n }]);
          if (index % 10 > 0) continue;
          const rest = await readTask(connection, {
            ...task,
            resumeAfter: position,
          });
          expect(rest.sink.rows.map((values) => values.at(-1))).toEqual(
            inOrder.slice(index + 1).map((next) => next.n),
          );
        }
      }
    },
  );

  test.for(["float", "double", "varchar(20) CHARACTER SET sjis"])(
    "a key without an exact text has no position inside: %s",
    async (type, { server, connection }) => {
      await server.query(
        `CREATE TABLE t (k ${type} PRIMARY KEY); INSERT INTO t VALUES ('1'), ('2'), ('3')`,
      );
      const task = await makeTask(connection, "t", { key: ["k"] });
      const { sink } = await readTask(connection, task, {}, (read) =>
        read.requestCheckpoint(),
      );
      expect(sink.checkpoints).toEqual([
        { position: null, last: true, rows: 3 },
      ]);
    },
  );

  test("tuples compare as the key is sorted", async ({
    server,
    connection,
  }) => {
    await server.query(
      "CREATE TABLE t (a int, b varchar(5), c decimal(4,1), n int AUTO_INCREMENT, PRIMARY KEY (a, b, c), KEY (n)) CHARACTER SET utf8mb4",
    );
    const tuples = fc.tuple(
      fc.integer({ min: -2, max: 2 }).map(String),
      fc.constantFrom("", "a", "B", "c", "ä", " "),
      fc.constantFrom("-0.5", "0.0", "1.5"),
    );
    const all = fc.sample(tuples, { numRuns: 80, seed: 5 });
    await server.query(
      `INSERT IGNORE INTO t (a, b, c) VALUES ${all.map(([a, b, c]) => `(${a}, ${quoteLiteral(b)}, ${c})`).join(", ")}`,
    );
    const key = {
      columns: ["a", "b", "c"],
      types: ["int", "varchar(5)", "decimal(4,1)"],
    };
    for (const bound of all) {
      const literals = bound.map((text, i) =>
        keyLiteral(key.types[i] ?? "", text),
      );
      for (const operator of [">", ">=", "<"] as const) {
        const ours = await connection.query(
          `SELECT n FROM t WHERE ${compareKey(key, operator, bound)} ORDER BY n`,
        );
        expect(ours).toEqual(
          await connection.query(
            `SELECT n FROM t WHERE (a, b, c) ${operator} (${literals.join(", ")}) ORDER BY n`,
          ),
        );
      }
    }
  });
});
