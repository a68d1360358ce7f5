/** Our sources as executables of the Airbyte protocol that capture changes: a copy, the log behind it, and kills. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, inject } from "vitest";
import { withMysqlDatabase } from "../fixtures/mysql.ts";
import type { PostgresFixture } from "../fixtures/postgres.ts";
import {
  Platform,
  SocketPeer,
  commandOf,
  configOf,
  configure,
  pythonDestination,
  type Executed,
  type Message,
} from "./support/airbyte.ts";
import { signal, waitFor } from "./support/command.ts";
import { countDurable, readRows } from "./support/foreign.ts";
import { test as base } from "./support/log-fixtures.ts";

const ROWS = 40_000;

const test = base.extend<{ platform: Platform }>({
  platform: async ({ task: _ }, use) => {
    const platform = new Platform();
    try {
      await use(platform);
    } finally {
      platform.dispose();
    }
  },
});

interface Row {
  readonly id: number;
  readonly name: string | null;
  readonly _ab_cdc_cursor: string;
  readonly _ab_cdc_deleted_at: string | null;
}

/** Where the place of a row ends that no event has told of. */
const COPIED = "-0000000000";

interface RecordMember {
  readonly stream: string;
  readonly data: Row;
  readonly partition_id: string;
}

interface StateMember {
  readonly type: string;
  readonly id: number;
  readonly partition_id: string;
  readonly sourceStats: { readonly recordCount: number };
}

/** As a sync of ours gives it to somebody else. */
interface OwnRow {
  readonly id: number;
  readonly name: string | null;
  readonly _position: string;
  readonly _deleted: boolean;
}

interface Kept {
  readonly stream: string;
  readonly row: Row;
}

/** What a platform has: the rows in front of the last state that it was given, and that state. */
class Reads {
  readonly rows: Kept[] = [];
  state: unknown[] = [];
  states = 0;

  /** Each state is compared with the rows in front of it. */
  take(messages: readonly Message[]): void {
    let since: Kept[] = [];
    for (const { type, record, state } of messages) {
      if (type === "RECORD") {
        const { stream, data } = record as { stream: string; data: Row };
        since.push({ stream, row: data });
      } else if (type === "STATE") {
        const { type: scope, sourceStats } = state as {
          type: string;
          sourceStats: { recordCount: number };
        };
        expect(scope).toBe("GLOBAL");
        expect(sourceStats.recordCount).toBe(since.length);
        this.rows.push(...since);
        this.state = [state];
        this.states += 1;
        since = [];
      }
    }
  }

  /**
   * The same by sockets, where a state counts for a partition, once all states before it do. By good ends nothing is left
   * that no state has counted.
   */
  takeSockets(sockets: readonly (readonly Message[])[], isOver: boolean): void {
    const partitions = new Map<string, Kept[]>();
    const states = new Map<number, StateMember>();
    const logged = new Set<number>();
    sockets.forEach((messages, socket) => {
      const cursors = new Map<string, string>();
      for (const { type, record, state } of messages) {
        if (type === "STATE") {
          const one = state as StateMember;
          expect(one.type).toBe("GLOBAL");
          states.set(one.id, one);
        }
        if (type !== "RECORD") continue;
        const { stream, data, partition_id: id } = record as RecordMember;
        partitions.set(id, [
          ...(partitions.get(id) ?? []),
          { stream, row: data },
        ]);
        if (data._ab_cdc_cursor.endsWith(COPIED)) continue;
        // changes of a stream keep their order: they all come by one socket
        expect(data._ab_cdc_cursor > (cursors.get(stream) ?? "")).toBe(true);
        cursors.set(stream, data._ab_cdc_cursor);
        logged.add(socket);
      }
    });
    expect(logged.size).toBeLessThanOrEqual(1);
    for (let id = 1; states.has(id); id++) {
      const state = states.get(id)!;
      const rows = partitions.get(state.partition_id) ?? [];
      const { recordCount } = state.sourceStats;
      expect(rows.length).toBeLessThanOrEqual(recordCount);
      if (rows.length < recordCount) break;
      partitions.delete(state.partition_id);
      states.delete(id);
      this.rows.push(...rows);
      this.state = [state];
      this.states += 1;
    }
    if (isOver) expect([partitions.size, states.size]).toEqual([0, 0]);
  }

  /** The table that the changes make, as a destination that merges by the key has it: sorted texts. */
  replay(stream: string): string[] {
    const latest = new Map<number, Row>();
    for (const { row } of this.rows.filter((one) => one.stream === stream)) {
      const known = latest.get(row.id);
      if (!known || known._ab_cdc_cursor <= row._ab_cdc_cursor)
        latest.set(row.id, row);
    }
    return [...latest.values()]
      .filter((row) => row._ab_cdc_deleted_at === null)
      .map(({ id, name }) => JSON.stringify([id, name]))
      .toSorted();
  }

  /** Keys of rows that a copy has read: their place has no number of an event. */
  copied(stream: string): number[] {
    return this.rows
      .filter((one) => one.stream === stream)
      .flatMap(({ row }) =>
        row._ab_cdc_cursor.endsWith(COPIED) ? [row.id] : [],
      );
  }
}

async function readTable(
  { query }: PostgresFixture,
  table: string,
): Promise<string[]> {
  const rows = await query<{ id: number; name: string }>(
    `SELECT id, name FROM ${table}`,
  );
  return rows.map(({ id, name }) => JSON.stringify([id, name])).toSorted();
}

interface Connection {
  readonly slot: string;
  readonly discovered: Executed;
  readonly config: object;
  read(state: unknown[]): readonly [name: string, args: readonly string[]];
}

async function connect(
  platform: Platform,
  source: PostgresFixture,
): Promise<Connection> {
  await source.query(`
    CREATE TABLE orders (id int PRIMARY KEY, name text);
    INSERT INTO orders SELECT id, repeat(md5(id::text), 20) FROM generate_series(1, ${ROWS}) AS id;
    CREATE TABLE notes (id int PRIMARY KEY, name text, long text, aside int GENERATED ALWAYS AS (id * 2) STORED);
    ALTER TABLE notes ALTER long SET STORAGE EXTERNAL;
    INSERT INTO notes SELECT id, 'note ' || id, repeat('x', 4000) FROM generate_series(1, 100) AS id;
    CREATE TABLE loose (id int);
    ANALYZE`);
  const slot = `m_${randomBytes(6).toString("hex")}`;
  const settings = configOf(source.url, {
    checkpoint_target_interval_seconds: 0.1,
    replication_method: { method: "CDC", replication_slot: slot },
  });
  const config = platform.write("config", settings);
  const discovered = await platform.start("source-postgres", [
    ...["discover", "--config", config],
  ]).ended;
  const catalog = platform.write(
    "catalog",
    configure(discovered.messages, (name) =>
      name === "loose" ? {} : { sync_mode: "incremental" },
    ),
  );
  let reads = 0;
  return {
    slot,
    discovered,
    config: settings,
    read: (state) => [
      "source-postgres",
      [
        ...["read", "--config", config, "--catalog", catalog],
        ...["--state", platform.write(`state-${++reads}`, state)],
      ],
    ],
  };
}

/** Changes that go on while a read is at work. */
class Writer {
  readonly #query: PostgresFixture["query"];
  readonly #ended: Promise<void>;
  #isEnding = false;

  constructor({ query }: PostgresFixture) {
    this.#query = query;
    this.#ended = this.#write();
  }

  async #write(): Promise<void> {
    for (let n = 1; !this.#isEnding; n++) {
      await this.#query(`
        INSERT INTO orders VALUES (${-n}, 'new ${n}');
        UPDATE orders SET name = 'changed ${n}' WHERE id = ${1 + ((n * 977) % ROWS)};
        DELETE FROM orders WHERE id = ${1 + ((n * 1_013) % ROWS)};
        INSERT INTO notes VALUES (${n + 1_000}, 'note') ON CONFLICT DO NOTHING`);
      await sleep(5);
    }
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    await this.#ended;
  }
}

function statesOf(messages: readonly Message[]): unknown[] {
  return messages.flatMap(({ type, state }) =>
    type === "STATE" ? [state] : [],
  );
}

function findState(stdout: string): boolean {
  return stdout.includes('{"type":"STATE"');
}

function findStateBehindCopy(stdout: string): boolean {
  return stdout
    .split("\n")
    .some(
      (line) =>
        line.startsWith('{"type":"STATE"') && !line.includes('"kind":"copy"'),
    );
}

describe("change data capture of source-postgres", () => {
  test("copies, follows, and goes on from its state: no change is missing, none comes twice", async ({
    platform,
    source,
  }) => {
    const connection = await connect(platform, source);
    const [catalog] = connection.discovered.messages.filter(
      ({ type }) => type === "CATALOG",
    );
    expect(catalog).toMatchObject({
      catalog: {
        streams: expect.arrayContaining([
          expect.objectContaining({
            name: "orders",
            source_defined_cursor: true,
            default_cursor_field: ["_ab_cdc_cursor"],
            json_schema: expect.objectContaining({
              properties: expect.objectContaining({
                _ab_cdc_lsn: expect.anything() as unknown,
                _ab_cdc_updated_at: expect.anything() as unknown,
                _ab_cdc_deleted_at: expect.anything() as unknown,
              }) as unknown,
            }) as unknown,
          }),
          // nothing in the log could say which of its rows was changed
          expect.objectContaining({
            name: "loose",
            supported_sync_modes: ["full_refresh"],
          }),
        ]) as unknown,
      },
    });
    // nor of what is computed from other columns
    expect(JSON.stringify(catalog)).not.toContain('"aside"');
    expect(connection.discovered.stdout).toContain(
      "notes is offered without aside",
    );
    const reads = new Reads();
    const writer = new Writer(source);
    const first = await platform.startSlowly(...connection.read([])).ended;
    await writer.end();
    expect(first.code, first.stdout.slice(-2_000)).toBe(0);
    reads.take(first.messages);
    expect(reads.states).toBeGreaterThan(2);
    expect(reads.copied("notes").length).toBeGreaterThanOrEqual(100);
    await source.query(`
      INSERT INTO loose VALUES (1);
      INSERT INTO orders VALUES (1000001, 'inserted');
      UPDATE orders SET name = 'updated' WHERE id = 1000001;
      DELETE FROM notes WHERE id = 1;
      UPDATE notes SET id = 1000002 WHERE id = 2;
      UPDATE notes SET name = 'changed' WHERE id = 3`);
    const rowsBefore = reads.rows.length;
    const second = await platform.start(...connection.read(reads.state)).ended;
    expect(second.code, second.stdout.slice(-2_000)).toBe(0);
    reads.take(second.messages);
    const since = reads.rows.slice(rowsBefore).map(({ stream, row }) => ({
      stream,
      change: [row.id, row._ab_cdc_deleted_at !== null],
    }));
    const changesOf = (wanted: string) =>
      since
        .filter(({ stream }) => stream === wanted)
        .map(({ change }) => change);
    // behind the last of those that went on beside the first read
    expect(changesOf("orders").slice(-2)).toEqual([
      [1000001, false],
      [1000001, false],
    ]);
    expect(changesOf("notes").slice(-4)).toEqual([
      [1, true],
      [2, true],
      [1000002, false],
      [3, false],
    ]);
    expect(changesOf("loose")).toEqual([]);
    // what the log has not told is not sent as if it were known
    const records = second.messages.filter(({ type }) => type === "RECORD");
    expect(
      records.findLast(({ record }) => (record as { data: Row }).data.id === 3),
    ).toMatchObject({
      record: {
        data: { name: "changed", long: null },
        meta: {
          changes: [
            {
              field: "long",
              change: "NULLED",
              reason: "SOURCE_RETRIEVAL_ERROR",
            },
          ],
        },
      },
    });
    for (const table of ["orders", "notes"])
      expect(reads.replay(table)).toEqual(await readTable(source, table));
    const places = reads.rows
      .filter(({ row }) => !row._ab_cdc_cursor.endsWith(COPIED))
      .map(({ stream, row }) => `${stream} ${row._ab_cdc_cursor}`);
    expect(new Set(places).size).toBe(places.length);
    expect(second.stdout).not.toContain("hunter2");
    // the source has gone, and says so before anything is read
    await source.query("SELECT pg_drop_replication_slot($1)", [
      connection.slot,
    ]);
    const gone = await platform.start(...connection.read(reads.state)).ended;
    expect(gone.code).not.toBe(0);
    expect(gone.messages.filter(({ type }) => type === "RECORD")).toEqual([]);
    expect(gone.messages.at(-1)).toMatchObject({
      trace: {
        error: {
          failure_type: "config_error",
          message: expect.stringMatching(
            /does not exist any more.*Clear the state/,
          ) as unknown,
        },
      },
    });
  });

  test("that is killed in its copy and behind it goes on from the last state, by stdio as by sockets", async ({
    platform,
    source,
  }) => {
    const connection = await connect(platform, source);
    const reads = new Reads();
    const writer = new Writer(source);
    try {
      for (const { kill, sockets } of [
        { kill: findState, sockets: 0 },
        { kill: findState, sockets: 3 },
        { kill: findStateBehindCopy, sockets: 0 },
        { kill: null, sockets: 1 },
      ]) {
        if (kill === null) await writer.end();
        const env = sockets === 0 ? null : platform.sockets("JSONL", sockets);
        const [name, args] = connection.read(reads.state);
        const reading =
          env === null
            ? platform.startSlowly(name, args)
            : platform.start(name, args, env);
        const peer = env && new SocketPeer(env);
        if (kill !== null) {
          await waitFor("a state", () => kill(reading.stdout()));
          signal(reading.pid, "SIGKILL");
        }
        const { code, messages, stdout } = await reading.ended;
        expect(code, stdout.slice(-2_000)).toBe(kill === null ? 0 : null);
        if (peer === null) reads.take(messages);
        else {
          await peer.end();
          reads.takeSockets(peer.messages, code === 0);
          // the platform hears of states and statuses as well, and of no record
          expect(statesOf(messages)).toEqual(
            expect.arrayContaining(statesOf(peer.messages.flat())),
          );
          expect(stdout).not.toContain('"RECORD"');
        }
        if (kill === findState)
          expect(reads.copied("orders").length).toBeLessThan(ROWS);
      }
    } finally {
      await writer.end();
    }
    const copied = reads.copied("orders");
    expect(new Set(copied).size).toBe(copied.length);
    for (const table of ["orders", "notes"])
      expect(reads.replay(table)).toEqual(await readTable(source, table));
  });
});

test("a sync follows our executable by sockets as anybody's, is killed, and has what the table has", async ({
  platform,
  source,
  destination,
}) => {
  const { config } = await connect(platform, source);
  const file = join(platform.root, "sync.yaml");
  const [node, script] = commandOf("source-postgres");
  const sync = {
    source: {
      ...{ command: [node, script], config, architecture: "socket" },
      ...{ format: "protobuf", sockets: 3 },
    },
    destination: { kind: "file", path: destination.root },
    tables: ["public.orders", "public.notes"],
    ...{ format: "jsonl", mode: "incremental", checkpointEvery: "100ms" },
    ...{ attempts: 1 },
  };
  writeFileSync(file, JSON.stringify({ syncs: { orders: sync } }));
  const writer = new Writer(source);
  try {
    const running = destination.start("sync", "-f", file);
    await waitFor("rows that are durable", () => countDurable(running) > 0);
    const pid = running.find("source");
    if (pid !== null) signal(pid, "SIGKILL");
    await running.ended;
  } finally {
    await writer.end();
  }
  await source.query(
    "UPDATE notes SET name = 'last' WHERE id = 5; DELETE FROM orders WHERE id = 77",
  );
  const { code, stderr } = await destination.run("sync", "-f", file);
  expect(code, stderr).toBe(0);
  for (const table of ["orders", "notes"]) {
    const reads = new Reads();
    for (const row of readRows(destination.root, table))
      reads.rows.push({ stream: table, row: row as unknown as Row });
    expect(reads.replay(table)).toEqual(await readTable(source, table));
  }
});

test("a sync gives changes to the stdin of a destination that is not ours: each state counts what is in front of it", async ({
  platform,
  source,
  destination,
}) => {
  await connect(platform, source);
  const { root, ledgerPath } = destination;
  const file = join(platform.root, "sync.yaml");
  const sync = {
    source: { kind: "postgres", url: source.url },
    destination: {
      command: ["python3", pythonDestination],
      config: { path: root },
    },
    tables: ["public.orders", "public.notes"],
    ...{ mode: "cdc", checkpointEvery: "100ms", attempts: 1 },
    ledger: ledgerPath,
  };
  writeFileSync(file, JSON.stringify({ syncs: { orders: sync } }));
  const writer = new Writer(source);
  try {
    // in the middle of a copy that takes the place of what was there: the connector empties it at each start
    const killed = destination.start("sync", "-f", file);
    await waitFor("rows that are durable", () => countDurable(killed) > 0);
    const pid = killed.find("source");
    if (pid !== null) signal(pid, "SIGKILL");
    await killed.ended;
    const first = await destination.run("sync", "-f", file);
    expect(first.code, first.stderr).toBe(0);
  } finally {
    await writer.end();
  }
  const second = await destination.run("sync", "-f", file);
  expect(second.code, second.stderr).toBe(0);
  for (const table of ["orders", "notes"]) {
    const reads = new Reads();
    const rows = readFileSync(join(root, `public.${table}.jsonl`), "utf8")
      .trimEnd()
      .split("\n");
    // each event once
    expect(new Set(rows).size).toBe(rows.length);
    for (const text of rows) {
      const { _position, _deleted, ...row } = JSON.parse(text) as OwnRow;
      reads.rows.push({
        stream: table,
        row: {
          ...row,
          _ab_cdc_cursor: _position,
          _ab_cdc_deleted_at: _deleted ? "then" : null,
        },
      });
    }
    expect(reads.replay(table)).toEqual(await readTable(source, table));
  }
});

describe("change data capture of source-mysql", () => {
  test("copies, follows, and takes in a table that has come later", async ({
    platform,
    skip,
  }) => {
    const { url, reason } = inject("mysqlServer");
    if (url === null) return skip(reason);
    await withMysqlDatabase("mysql", url, async (source) => {
      const config = platform.write(
        "config",
        configOf(source.url, {
          checkpoint_target_interval_seconds: 0.1,
          password: decodeURIComponent(new URL(source.url).password),
          replication_method: { method: "CDC" },
        }),
      );
      const reads = new Reads();
      const read = async () => {
        const { messages } = await platform.start("source-mysql", [
          ...["discover", "--config", config],
        ]).ended;
        const catalog = platform.write(
          "catalog",
          configure(messages, () => ({ sync_mode: "incremental" })),
        );
        const { code, ...reading } = await platform.start("source-mysql", [
          ...["read", "--config", config, "--catalog", catalog],
          ...["--state", platform.write("state", reads.state)],
        ]).ended;
        expect(code, reading.stdout.slice(-2_000)).toBe(0);
        reads.take(reading.messages);
      };
      await source.query(`
        CREATE TABLE orders (id int PRIMARY KEY, name varchar(50));
        INSERT INTO orders VALUES (1, 'one'), (2, 'two'), (3, 'three')`);
      await read();
      expect(new Set(reads.copied("orders"))).toEqual(new Set([1, 2, 3]));
      await source.query(`
        UPDATE orders SET name = 'changed' WHERE id = 1;
        DELETE FROM orders WHERE id = 2;
        UPDATE orders SET id = 4 WHERE id = 3;
        CREATE TABLE notes (id int PRIMARY KEY, name varchar(50));
        INSERT INTO notes VALUES (7, 'seven')`);
      await read();
      expect(reads.copied("notes")).toEqual([7]);
      for (const [table, rows] of [
        ["orders", ['[1,"changed"]', '[4,"three"]']],
        ["notes", ['[7,"seven"]']],
      ] as const)
        expect(reads.replay(table)).toEqual(rows);
      expect(reads.rows.at(0)?.row).toMatchObject({
        _ab_cdc_log_file: expect.stringMatching(/\.\d{6}$/) as unknown,
        _ab_cdc_log_pos: expect.any(Number) as unknown,
      });
    });
  });
});
