/** Copies that follow a log: random histories, cut and repeated at random, against a model. */
import {
  describe,
  expect,
  test,
  type PostgresFixture,
} from "../../../fixtures/postgres.ts";
import {
  changeSchema,
  makeHistory,
  pick,
  seedRandom,
  sortRows,
  type History,
  type TableRow,
} from "../change-model.ts";
import { ChangeRun } from "./change-run.ts";
import { startStatementProxy } from "./statement-proxy.ts";

/** More runs of other histories: MILLRACE_TEST_SEEDS=200. */
const SEEDS = Number(process.env["MILLRACE_TEST_SEEDS"] ?? 8);
const TRANSACTIONS = 24;
/** More statements than an attempt has: then it is not cut. */
const STATEMENTS_MAX = 260;
const ATTEMPTS_MAX = 40;

async function readTable(
  pg: PostgresFixture,
  table: string,
  where = "",
): Promise<TableRow[]> {
  const found = await pg.query(
    `SELECT id, site, amount, note, body FROM ${table} ${where}`,
  );
  return sortRows(
    found.map(({ id, site, amount, note, body }) => [
      id,
      site,
      amount === null ? null : BigInt(amount),
      note,
      body,
    ]),
  );
}

async function checkCopy(
  pg: PostgresFixture,
  table: string,
  history: History,
  transactions: number,
  isSoft: boolean,
  where: string,
): Promise<void> {
  const last = history.transactions[transactions - 1];
  const live = last?.after ?? history.before;
  if (!isSoft) {
    expect(await readTable(pg, table), where).toEqual(sortRows(live.values()));
    return;
  }
  expect(await readTable(pg, table, "WHERE NOT _deleted"), where).toEqual(
    sortRows(live.values()),
  );
  expect(await readTable(pg, table, "WHERE _deleted"), where).toEqual(
    sortRows(last?.deletedAfter.values() ?? []),
  );
}

/** Every change up to there, each once, in the log's order. */
async function checkHistory(
  pg: PostgresFixture,
  table: string,
  history: History,
  transactions: number,
  where: string,
): Promise<void> {
  const found = await pg.query(
    `SELECT _op, _position, _unchanged, _old_key, id, note FROM ${table} WHERE _op <> 'r' ORDER BY _position`,
  );
  const told = history.transactions
    .slice(0, transactions)
    .flatMap(({ changes }) => changes)
    .map(({ row }) => ({
      _op: row[5],
      _position: row[6],
      _unchanged: row[9],
      _old_key: row[10],
      id: row[0],
      note: row[3],
    }));
  expect(found, where).toEqual(told);
  const [counted] = await pg.query(
    `SELECT count(*)::int AS rows FROM ${table} WHERE _op = 'r'`,
  );
  expect(counted.rows, where).toBe(history.snapshot.length);
}

describe.for(["hard", "soft"] as const)("deletes: %s", (deletes) => {
  test(
    "killed anywhere, applied again, the copy is the table as it was at each place in the log",
    { timeout: 240_000 },
    async ({ pg }) => {
      let kills = 0;
      let applications = 0;
      for (let seed = 1; seed <= SEEDS; seed++) {
        const random = seedRandom(seed * 7 + (deletes === "soft" ? 1 : 0));
        const namespace = `${deletes}${seed}`;
        const schema = { ...changeSchema, namespace };
        const history = makeHistory(random, TRANSACTIONS);
        const keepsHistory = random() < 0.5;
        const half = Math.floor(random() * history.transactions.length);
        const runs = [0, half, history.transactions.length];
        const table = `${namespace}.orders`;
        for (const generation of [1, 2]) {
          const run = new ChangeRun({
            schema,
            history,
            random,
            syncId: namespace,
            generation,
            config: { deletes, history: keepsHistory ? "beside" : "none" },
            from: runs[generation - 1] ?? 0,
            to: runs[generation] ?? 0,
            takesSnapshot: generation === 1,
          });
          const check = async (transactions: number): Promise<void> => {
            applications += 1;
            const where = `seed ${seed}, generation ${generation}, ${transactions} transactions`;
            const isSoft = deletes === "soft";
            await checkCopy(pg, table, history, transactions, isSoft, where);
            if (keepsHistory)
              await checkHistory(
                pg,
                `${table}_history`,
                history,
                transactions,
                where,
              );
          };
          for (let attempt = 1; !run.isDone; attempt++) {
            expect(attempt, `seed ${seed}`).toBeLessThan(ATTEMPTS_MAX);
            const proxy = await startStatementProxy(
              pg.url,
              1 + Math.floor(random() * STATEMENTS_MAX),
              pick(random, ["before", "answer"] as const),
            );
            try {
              await run.attempt(proxy.url, check);
            } catch (error) {
              if (proxy.cutAt === null)
                throw new Error(`seed ${seed}: ${String(error)}`, {
                  cause: error,
                });
              kills += 1;
            } finally {
              await proxy.close();
            }
          }
        }
      }
      expect(kills).toBeGreaterThan(SEEDS);
      expect(applications).toBeGreaterThan(SEEDS * 4);
    },
  );
});
