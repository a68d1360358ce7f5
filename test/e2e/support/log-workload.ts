/** Tables that are changed at random, and the transactions that a seed makes of them. */
import pg from "pg";
import type { PostgresFixture } from "../../fixtures/postgres.ts";
import { createRandom, pick } from "./random.ts";

/** A column, as both sides print it when they are compared. */
export interface ComparedColumn {
  readonly name: string;
  readonly pg: string;
  readonly duckdb: string;
}

export interface ComparedTable {
  /** Left out: `public`. */
  readonly namespace?: string;
  readonly name: string;
  readonly key: readonly string[];
  readonly columns: readonly ComparedColumn[];
}

/** Printed alike by both. */
export const plain = (name: string): ComparedColumn => ({
  name,
  pg: `"${name}"::text`,
  duckdb: `"${name}"::varchar`,
});
const instant = (name: string): ComparedColumn => ({
  name,
  pg: `(extract(epoch FROM "${name}") * 1000000)::int8::text`,
  duckdb: `epoch_us("${name}")::varchar`,
});

/** Large values lie outside of their rows: an update of other columns does not send them. */
export const LARGE_CHARS = 6_400;
const LOCK_NOT_AVAILABLE = "55P03";

/** What differs between servers. */
export interface Dialect {
  connect(url: string): Promise<WorkClient>;
  readonly begin: string;
  /** The transaction was not to be, as where a table is read that was to be emptied. */
  isPassedOver(error: unknown): boolean;
  /** Of which each changes something. `take`: as many numbers from `fresh` on are used up. */
  changes(place: {
    readonly fresh: number;
    readonly id: number;
    readonly rows: number;
    take(count: number): void;
  }): readonly (() => string)[];
  /** A column more of `lines`, and the row of this number that has it. */
  addColumn(column: string, number: number): string;
}

export interface WorkClient {
  query(sql: string): Promise<unknown>;
  end(): Promise<void>;
}

export const accounts: ComparedTable = {
  name: "accounts",
  key: ["id"],
  columns: [
    plain("id"),
    plain("amount"),
    plain("active"),
    plain("note"),
    // told apart by a hash: nobody wants to read these values where a test fails
    { name: "large", pg: "md5(large)", duckdb: "md5(large)" },
    instant("changed_at"),
  ],
};
export const lines: ComparedTable = {
  name: "lines",
  key: ["account", "line"],
  columns: [plain("account"), plain("line"), plain("words")],
};
export const visits: ComparedTable = {
  name: "visits",
  key: ["id"],
  columns: [plain("id"), plain("page")],
};

export async function createLoggedTables(
  { query }: PostgresFixture,
  rows = 2_000,
): Promise<void> {
  await query(`
    CREATE TABLE accounts (id int PRIMARY KEY, amount numeric(12,2), active boolean, note text, large text,
      changed_at timestamptz NOT NULL DEFAULT clock_timestamp());
    ALTER TABLE accounts ALTER large SET STORAGE EXTERNAL;
    CREATE TABLE lines (account int, line text, words text, PRIMARY KEY (account, line));
    CREATE TABLE visits (id bigint PRIMARY KEY, page text);
    INSERT INTO accounts SELECT i, i * 1.25, i % 2 = 0, 'note ' || i, CASE WHEN i % 50 = 0 THEN repeat(md5(i::text), 200) END
      FROM generate_series(1, ${rows}) AS i;
    INSERT INTO lines SELECT i % 500, 'line ' || i, 'words of ' || i FROM generate_series(1, ${rows}) AS i;
    INSERT INTO visits SELECT i, '/page/' || i FROM generate_series(1, ${Math.ceil(rows / 4)}) AS i`);
}

const postgresDialect: Dialect = {
  connect: async (url) => {
    const client = new pg.Client({ connectionString: url });
    // a test that has failed leaves its database without waiting for this
    client.on("error", () => {});
    await client.connect();
    return client;
  },
  begin: "BEGIN; SET LOCAL lock_timeout = '200ms'",
  isPassedOver: (error) =>
    (error as { code?: string }).code === LOCK_NOT_AVAILABLE,
  changes: ({ fresh, id, rows, take }) => [
    () => {
      take(rows);
      return `INSERT INTO accounts SELECT i, i / 7.0, NULL, 'new ' || i, CASE WHEN i % 3 = 0 THEN repeat(md5(i::text), ${LARGE_CHARS / 32}) END
          FROM generate_series(${fresh}, ${fresh + rows - 1}) AS i`;
    },
    () =>
      `UPDATE accounts SET amount = amount + 1, changed_at = clock_timestamp() WHERE id BETWEEN ${id} AND ${id + rows}`,
    () =>
      `UPDATE accounts SET large = repeat(md5('${fresh}' || id::text), ${LARGE_CHARS / 32}) WHERE id BETWEEN ${id} AND ${id + 1}`,
    () => {
      take(1);
      return `UPDATE accounts SET id = ${fresh}, note = 'moved' WHERE id = ${id}`;
    },
    () => `DELETE FROM accounts WHERE id BETWEEN ${id} AND ${id + rows}`,
    () =>
      `INSERT INTO lines (account, line, words) SELECT ${id % 500}, 'line ${fresh} ' || i, NULL FROM generate_series(1, ${rows}) AS i
          ON CONFLICT DO NOTHING`,
    () =>
      `UPDATE lines SET words = 'changed ${fresh}' WHERE account = ${id % 500}`,
    () =>
      `UPDATE lines SET account = account + 1000 WHERE account = ${id % 500} AND line = (SELECT min(line) FROM lines WHERE account = ${id % 500})`,
    () => `DELETE FROM lines WHERE account = ${id % 500}`,
    () => {
      take(1);
      return `INSERT INTO visits VALUES (${fresh}, '/new')`;
    },
    () => `UPDATE visits SET page = page || '!' WHERE id % 97 = ${id % 97}`,
  ],
  addColumn: (column, number) =>
    `ALTER TABLE lines ADD COLUMN ${column} int; INSERT INTO lines (account, line, ${column})
       VALUES (-${number}, 'with ${column}', ${number})`,
};

/** Transactions until it is told to end. */
export class LogWorkload {
  readonly #client: WorkClient;
  readonly #dialect: Dialect;
  #random: () => number;
  #ended: Promise<void> = Promise.resolve();
  #isEnding = false;
  #next = 1_000_000;
  #columnsAdded = 0;
  transactions = 0;

  private constructor(client: WorkClient, dialect: Dialect, seed: number) {
    this.#client = client;
    this.#dialect = dialect;
    this.#random = createRandom(seed);
    this.goOn(seed);
  }

  static async start(
    url: string,
    seed: number,
    dialect = postgresDialect,
  ): Promise<LogWorkload> {
    return new LogWorkload(await dialect.connect(url), dialect, seed);
  }

  /** Other transactions, on what the ones before have left. */
  goOn(seed: number): void {
    this.#random = createRandom(seed);
    this.#isEnding = false;
    this.#ended = this.#run();
    this.#ended.catch(() => {
      // told to whoever ends it
    });
  }

  async pause(): Promise<void> {
    this.#isEnding = true;
    await this.#ended;
  }

  async end(): Promise<void> {
    try {
      await this.pause();
    } finally {
      await this.#client.end();
    }
  }

  /** Columns that were added to `lines` meanwhile. */
  get linesNow(): ComparedTable {
    const added = Array.from({ length: this.#columnsAdded }, (_, i) =>
      plain(`extra_${i + 1}`),
    );
    return { ...lines, columns: [...lines.columns, ...added] };
  }

  async #run(): Promise<void> {
    while (!this.#isEnding) {
      await this.#transact();
      this.transactions += 1;
      const pauseMs = this.#random() < 0.7 ? 0 : this.#random() * 30;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  async #transact(): Promise<void> {
    try {
      await this.#tryToTransact();
    } catch (error) {
      if (!this.#dialect.isPassedOver(error)) throw error;
      await this.#client.query("ROLLBACK");
    }
  }

  async #tryToTransact(): Promise<void> {
    const random = this.#random;
    const isLarge = random() < 0.02;
    await this.#client.query(this.#dialect.begin);
    const count = 1 + Math.floor(random() * 5);
    for (let i = 0; i < count; i++) await this.#change(isLarge);
    if (random() < 0.1) {
      await this.#client.query("SAVEPOINT taken_back");
      await this.#change(false);
      await this.#client.query("ROLLBACK TO SAVEPOINT taken_back");
    }
    await this.#client.query(random() < 0.08 ? "ROLLBACK" : "COMMIT");
  }

  async #change(isLarge: boolean): Promise<void> {
    const random = this.#random;
    const id = 1 + Math.floor(random() * 2_000);
    const rows = isLarge ? 800 : 1 + Math.floor(random() * 5);
    const fresh = this.#next;
    const changes = this.#dialect.changes({
      fresh,
      id,
      rows,
      take: (count) => {
        this.#next += count;
      },
    });
    if (random() < 0.01) {
      await this.#client.query("TRUNCATE visits");
      return;
    }
    await this.#client.query(pick(random, changes)());
  }

  /** A column more, and rows that have it. */
  async addColumn(query: (sql: string) => Promise<unknown>): Promise<void> {
    this.#columnsAdded += 1;
    const number = this.#columnsAdded;
    await query(this.#dialect.addColumn(`extra_${number}`, number));
  }
}

/** All rows as one sorted text each. */
export async function readSource(
  { query }: PostgresFixture,
  { namespace = "public", name, columns }: ComparedTable,
): Promise<string[]> {
  const list = columns.map((column) => column.pg).join(", ");
  const rows = await query<{ row: (string | null)[] }>(
    `SELECT ARRAY[${list}] AS row FROM "${namespace}"."${name}"`,
  );
  return rows.map(({ row }) => JSON.stringify(row)).toSorted();
}
