/** Our source as an executable of the Airbyte protocol, on a real server and beside a destination that is not ours. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import {
  Platform,
  configOf,
  configure,
  coveredRows,
  lastStates,
  pythonDestination,
  readKept,
  type Message,
} from "./support/airbyte.ts";
import { signal, waitFor } from "./support/command.ts";
import { test as base } from "./support/fixtures.ts";

const ROWS = 40_000;

const test = base.extend<{
  $test: { platform: Platform };
  $file: { filled: { readonly url: string; readonly catalog: Message[] } };
}>({
  platform: async ({ task: _ }, use) => {
    const platform = new Platform();
    try {
      await use(platform);
    } finally {
      platform.dispose();
    }
  },
  filled: [
    async ({ database }, use) => {
      await database.query(`
        CREATE TABLE orders AS
          SELECT id, 'name ' || id AS name, (id * 1.37)::numeric(12, 2) AS amount,
            timestamptz '2026-01-01' + id * interval '1 second' AS at,
            CASE WHEN id % 3 = 0 THEN NULL ELSE jsonb_build_object('a', id) END AS doc,
            decode(md5(id::text), 'hex') AS digest, repeat(md5(id::text), 20) AS payload
          FROM generate_series(1, ${ROWS}) AS id;
        ALTER TABLE orders ADD PRIMARY KEY (id);
        CREATE TABLE notes AS SELECT n, 'note ' || n AS text FROM generate_series(1, 500) AS n;
        CREATE TABLE nothing (id int PRIMARY KEY);
        ANALYZE`);
      const platform = new Platform();
      try {
        const config = platform.write("config", configOf(database.url));
        const { messages } = await platform.start("source-postgres", [
          ...["discover", "--config", config],
        ]).ended;
        await use({ url: database.url, catalog: [...messages] });
      } finally {
        platform.dispose();
      }
    },
    { scope: "file" },
  ],
});

/** Of one type, with what belongs to one stream. */
function of(messages: readonly Message[], type: string): Message[] {
  return messages.filter((message) => message.type === type);
}

function statusesOf(messages: readonly Message[]): string[] {
  return of(messages, "TRACE").flatMap(({ trace }) => {
    const { stream_status: status } = trace as {
      stream_status?: { stream_descriptor: { name: string }; status: string };
    };
    return status ? [`${status.stream_descriptor.name} ${status.status}`] : [];
  });
}

describe("what a platform asks first", () => {
  test("is answered: the specification, whether it can be read, and what there is", async ({
    platform,
    filled,
  }) => {
    const config = platform.write("config", configOf(filled.url));
    const wrong = platform.write("wrong", {
      ...configOf(filled.url),
      port: 1,
    });
    const [spec, check, failed, unknown] = await Promise.all(
      [
        ["spec"],
        ["check", "--config", config],
        ["check", "--config", wrong],
        ["browse"],
      ].map((args) => platform.start("source-postgres", args).ended),
    );
    expect(spec?.messages).toMatchObject([
      { type: "SPEC", spec: { connectionSpecification: { type: "object" } } },
    ]);
    expect(check?.messages).toEqual([
      { type: "CONNECTION_STATUS", connectionStatus: { status: "SUCCEEDED" } },
    ]);
    expect(failed).toMatchObject({
      code: 0,
      messages: [
        {
          connectionStatus: {
            status: "FAILED",
            message: expect.stringContaining("SOURCE_UNREACHABLE") as unknown,
          },
        },
      ],
    });
    expect(failed?.stdout).not.toContain("hunter2");
    expect(unknown).toMatchObject({
      code: 2,
      messages: [
        { type: "TRACE", trace: { error: { failure_type: "config_error" } } },
      ],
    });
    const [catalog] = of(filled.catalog, "CATALOG");
    expect(catalog).toMatchObject({
      catalog: {
        streams: expect.arrayContaining([
          expect.objectContaining({
            name: "orders",
            namespace: "public",
            source_defined_primary_key: [["id"]],
            is_resumable: true,
            supported_sync_modes: ["full_refresh", "incremental"],
          }),
          expect.objectContaining({ name: "notes", is_resumable: false }),
        ]) as unknown,
      },
    });
  });
});

describe("a read to stdout", () => {
  test("is nothing but protocol: each row once, counted by its states, statuses around them", async ({
    platform,
    filled,
  }) => {
    const config = platform.write(
      "config",
      configOf(filled.url, { checkpoint_target_interval_seconds: 0.05 }),
    );
    const catalog = platform.write("catalog", configure(filled.catalog));
    const { code, messages, stdout } = await platform.startSlowly(
      "source-postgres",
      ["read", "--config", config, "--catalog", catalog],
    ).ended;
    expect(code).toBe(0);
    expect(stdout).not.toContain("hunter2");
    // of orders more than one, so that rows have to wait behind a state
    expect(of(messages, "STATE").length).toBeGreaterThan(3);
    const rows = new Map<string, number>();
    const counted = new Map<string, number>();
    for (const { type, record, state } of messages) {
      if (type === "RECORD") {
        const { stream } = record as { stream: string };
        rows.set(stream, (rows.get(stream) ?? 0) + 1);
      } else if (type === "STATE") {
        const { stream, sourceStats } = state as {
          stream: { stream_descriptor: { name: string } };
          sourceStats: { recordCount: number };
        };
        const { name } = stream.stream_descriptor;
        const sum = (counted.get(name) ?? 0) + sourceStats.recordCount;
        counted.set(name, sum);
        // a state covers what is in front of it, and that alone
        expect(sum).toBe(rows.get(name) ?? 0);
      }
    }
    expect(Object.fromEntries(rows)).toEqual({ orders: ROWS, notes: 500 });
    expect(Object.fromEntries(counted)).toEqual({
      ...{ orders: ROWS, notes: 500, nothing: 0 },
    });
    expect(statusesOf(messages).toSorted()).toEqual(
      ["notes", "nothing", "orders"].flatMap((name) => [
        `${name} COMPLETE`,
        `${name} STARTED`,
      ]),
    );
    expect(stdout).toContain('"recordCount":500.0');
  });

  test("that is killed at any place goes on from its last state: no row is missing, none is there twice", async ({
    platform,
    filled,
  }) => {
    const config = platform.write(
      "config",
      configOf(filled.url, {
        checkpoint_target_interval_seconds: 0.05,
        concurrency: 1,
      }),
    );
    const catalog = platform.write(
      "catalog",
      configure(filled.catalog.map(onlyOrders)),
    );
    const rows: unknown[] = [];
    let states: unknown[] = [];
    let kills = 0;
    for (let tries = 0; tries < 12; tries++) {
      const state = platform.write(`state-${tries}`, states);
      const reading = platform.startSlowly("source-postgres", [
        ...["read", "--config", config, "--catalog", catalog],
        ...["--state", state],
      ]);
      // two are killed behind some bytes, and the others may end
      if (kills < 2) {
        const bytes = 1_000_000 * (kills + 1);
        await waitFor("some rows", () => reading.stdout().length > bytes);
        signal(reading.pid, kills === 0 ? "SIGTERM" : "SIGKILL");
        kills++;
      }
      const { messages, code } = await reading.ended;
      rows.push(...coveredRows(messages));
      const last = lastStates(messages);
      if (last.length > 0) states = last;
      if (code === 0) break;
    }
    const ids = rows.map((row) => (row as { id: number }).id);
    expect(ids.length).toBe(ROWS);
    expect(new Set(ids).size).toBe(ROWS);
    // a platform that asks once more is told that there is nothing
    const again = await platform.start("source-postgres", [
      ...["read", "--config", config, "--catalog", catalog],
      ...["--state", platform.write("state-last", states)],
    ]).ended;
    expect(again.code).toBe(0);
    expect(of(again.messages, "RECORD")).toEqual([]);
    expect(statusesOf(again.messages)).toEqual([
      "orders STARTED",
      "orders COMPLETE",
    ]);
  });

  test("by a cursor goes on behind it, and a state of something else is refused", async ({
    platform,
    filled,
    database,
  }) => {
    await database.query(
      "CREATE TABLE visits AS SELECT v, 'x' AS who FROM generate_series(1, 100) AS v",
    );
    const config = platform.write("config", configOf(filled.url));
    const discovered = await platform.start("source-postgres", [
      ...["discover", "--config", config],
    ]).ended;
    const catalog = platform.write(
      "catalog",
      configure(
        discovered.messages.map((message) => only(message, "visits")),
        () => ({ sync_mode: "incremental", cursor_field: ["v"] }),
      ),
    );
    const read = (states: unknown) =>
      platform.start("source-postgres", [
        ...["read", "--config", config, "--catalog", catalog],
        ...["--state", platform.write("state", states)],
      ]).ended;
    const first = await read([]);
    expect(coveredRows(first.messages)).toHaveLength(100);
    await database.query(
      "INSERT INTO visits SELECT v, 'y' FROM generate_series(101, 105) AS v",
    );
    const second = await read(lastStates(first.messages));
    expect(
      coveredRows(second.messages).map((row) => (row as { v: number }).v),
    ).toEqual([101, 102, 103, 104, 105]);
    const refused = await read([
      {
        type: "STREAM",
        stream: {
          stream_descriptor: { name: "visits", namespace: "public" },
          stream_state: { version: 2, cursor: "100" },
        },
      },
    ]);
    expect(refused.code).not.toBe(0);
    expect(refused.messages.at(-1)).toMatchObject({
      trace: {
        error: {
          message: expect.stringContaining("STATE_INCOMPATIBLE") as unknown,
        },
      },
    });
    await database.query("DROP TABLE visits");
  });

  test("of a server that is not there says so, and what to do about it", async ({
    platform,
    filled,
  }) => {
    const config = platform.write("config", {
      ...configOf(filled.url),
      port: 1,
    });
    const catalog = platform.write("catalog", configure(filled.catalog));
    const { code, messages, stdout } = await platform.start("source-postgres", [
      ...["read", "--config", config, "--catalog", catalog],
    ]).ended;
    expect(code).toBe(3);
    expect(messages.at(-1)).toMatchObject({
      type: "TRACE",
      trace: { type: "ERROR", error: { failure_type: "transient_error" } },
    });
    expect(stdout).not.toContain("hunter2");
  });
});

describe("a read by sockets, into a destination that is not ours", () => {
  test("ends in the same rows in every format, each partition counted", async ({
    platform,
    filled,
  }) => {
    const config = platform.write("config", configOf(filled.url));
    const catalog = platform.write("catalog", configure(filled.catalog));
    const kept: string[][] = [];
    for (const format of ["JSONL", "PROTOBUF"]) {
      const path = join(platform.root, format);
      mkdirSync(path);
      const env = platform.sockets(format);
      const source = platform.start(
        "source-postgres",
        ["read", "--config", config, "--catalog", catalog],
        env,
      );
      const destination = platform.start(
        pythonDestination,
        [
          ...["write", "--config", platform.write(format, { path })],
          ...["--catalog", catalog],
        ],
        env,
      );
      const [read, written] = await Promise.all([
        source.ended,
        destination.ended,
      ]);
      expect(written.stderr).toBe("");
      expect([read.code, written.code]).toEqual([0, 0]);
      // what the source says is what the destination gives back, each state once
      expect(of(written.messages, "STATE")).toHaveLength(
        of(read.messages, "STATE").length,
      );
      expect(of(read.messages, "RECORD")).toEqual([]);
      kept.push(readKept(path, "public.orders"));
    }
    expect(kept[0]).toHaveLength(ROWS);
    expect(kept[0]?.findIndex((row, i) => row !== kept[1]?.[i])).toBe(-1);
    expect(kept[1]).toHaveLength(ROWS);
  });
});

function only(message: Message, wanted: string): Message {
  if (message.type !== "CATALOG") return message;
  const { streams } = message["catalog"] as { streams: { name: string }[] };
  return {
    ...message,
    catalog: { streams: streams.filter(({ name }) => name === wanted) },
  };
}

function onlyOrders(message: Message): Message {
  return only(message, "orders");
}
