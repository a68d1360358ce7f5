import { describe, expect, test } from "vitest";
import { LogDecoder } from "../../../connectors/channels/log-decoder.ts";
import {
  LogRows,
  type LogGroup,
  type LogRowsOptions,
} from "../../../connectors/channels/log-rows.ts";
import type { Quarantine } from "../../../connectors/channels/quarantine-file.ts";
import { ChannelRows } from "../../../connectors/channels/source-rows.ts";
import type {
  EngineMessage,
  EngineOffset,
} from "../../../connectors/sources/debezium/engine/protocol.ts";
import { describeChanges } from "../../../proto/change-columns.ts";
import {
  positionBehind,
  positionOfSnapshot,
} from "../../../proto/log-position.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import type { SourceChannel } from "../../../transport/channel.ts";
import {
  encodeFrame,
  readRun,
  toFrame,
} from "../sources/debezium/events/frames.ts";
import { forms, type EventForm } from "../sources/debezium/events/support.ts";
import { buildSchema } from "../../fixtures/batches.ts";

const hex = (lsn: number) => lsn.toString(16).padStart(20, "0");
const behind = (lsn: number) => positionBehind(1, hex(lsn));
const before = (lsn: number) => positionOfSnapshot(1, hex(lsn));
const offset = (lsn: number) => `{"lsn":${lsn}}` as EngineOffset;

const begin = (lsn: number, xid = lsn): EngineMessage => ({
  type: "begin",
  transaction: String(xid),
  position: hex(lsn),
  committedAtMs: 1_000,
});
const commit = (lsn: number): EngineMessage => ({
  type: "commit",
  number: 1,
  events: 1,
  offset: offset(lsn + 1),
});
let events = 0;
const insert = (table: string, row: object): EngineMessage => ({
  type: "event",
  number: ++events,
  order: 1,
  topic: `m.public.${table}`,
  key: Buffer.from(JSON.stringify({ id: 1 })),
  value: Buffer.from(
    JSON.stringify({
      before: null,
      after: row,
      source: {
        connector: "postgresql",
        ts_ms: 1_000,
        schema: "public",
        table,
        ts_us: 1_000_000,
      },
      op: "c",
      ts_ms: 1_000,
    }),
  ),
  headers: null,
});

const alter = (table: string, ddl: string): EngineMessage => ({
  type: "event",
  number: ++events,
  order: 1,
  topic: "m",
  key: Buffer.from('{"databaseName":"public"}'),
  value: Buffer.from(
    JSON.stringify({
      source: { connector: "mysql", ts_us: 1_000_000, db: "public", table },
      databaseName: "public",
      ddl,
      tableChanges: [],
    }),
  ),
  headers: null,
});

/** A change as frames have it; what cannot be one of theirs comes as a line all the same. */
function inFrame(message: EngineMessage): EngineMessage {
  if (message.type !== "event") return message;
  const value = String(message.value);
  return value.endsWith("}") && value.includes('"op"')
    ? { type: "events", run: readRun(toFrame([message], new Map())) }
    : message;
}

interface Sent {
  readonly what: string;
  readonly stream: number;
  readonly rows: number;
}

/** An engine that says this, and then that it is alive for as long as somebody listens. */
class Script {
  readonly acks: string[] = [];
  isDrained = false;
  readonly #chunks: readonly (readonly EngineMessage[])[];

  constructor(chunks: readonly (readonly EngineMessage[])[]) {
    this.#chunks = chunks;
  }

  async *messages(): AsyncGenerator<readonly EngineMessage[], void> {
    for (const chunk of this.#chunks) yield chunk;
    while (!this.isDrained) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      yield [{ type: "heartbeat", offset: null }];
    }
  }

  ack(place: EngineOffset): void {
    this.acks.push(place);
  }

  async drain(): Promise<void> {
    this.isDrained = true;
  }

  async kill(): Promise<void> {
    this.isDrained = true;
  }
}

const schemas: StreamSchema[] = ["a", "b"].map((name, i) => ({
  ...buildSchema({ id: "int32", v: "text" }, ["id"]),
  key: ["id"],
  number: i + 1,
  namespace: "public",
  name,
}));

interface OpenOptions extends Partial<LogRowsOptions> {
  readonly after?: string;
  readonly visible?: string | null;
}

function openIn(
  form: EventForm,
  told: readonly (readonly EngineMessage[])[],
  options: OpenOptions = {},
) {
  const chunks =
    form === "lines" ? told : told.map((chunk) => chunk.map(inFrame));
  const sent: Sent[] = [];
  const groups: LogGroup[] = [];
  const endings: string[] = [];
  const engine = new Script(chunks);
  const socket = {
    writeSchema: async () => {},
    writeBatch: async ({ stream }, { rowCount }) =>
      void sent.push({ what: "batch", stream, rows: rowCount }),
    writeCheckpoint: async ({ stream, rows, last }) =>
      void sent.push({ what: last ? "last" : "checkpoint", stream, rows }),
  } as Partial<SourceChannel> as SourceChannel;
  const channel = new ChannelRows(() => socket);
  let index = 0;
  const { after = before(1), visible = null, ...rest } = options;
  const log: LogRows = new LogRows({
    engine,
    streams: schemas.map((schema) => ({
      number: schema.number,
      namespace: schema.namespace,
      name: schema.name,
      after,
      visible,
      rows: channel.begin({
        stream: schema.number,
        partition: 5,
        attempt: 1,
        schema: describeChanges(schema),
        mapper: null,
        onCheckpoint: ({ stream }) =>
          setImmediate(() => log.giveIndex(stream, ++index)),
        onNulled: () => {},
      }),
      decoder: new LogDecoder(schema, {
        connector: "postgresql",
        beforeImage: "key",
        policy: "error",
        valueNulled: () => {},
        unavailableValue: "__unavailable_0123456789",
        transactionId: false,
        timePrecision: "microseconds",
      }),
    })),
    sourceEpoch: 1,
    from: { position: before(1), offset: offset(1), history: [] },
    until: null,
    isHeld: false,
    entry: null,
    quarantine: null,
    discoveredAt: before(1_000),
    checkpointEveryMs: 0,
    events: {
      onGroup: (group) => {
        groups.push(group);
        setImmediate(() => log.commit(group.group));
      },
      onEnding: (position) => {
        endings.push(position);
        setImmediate(() => log.end(position));
      },
    },
    ...rest,
  });
  return { log, sent, groups, endings, engine };
}

const row = { id: 1, v: "x" };

/** What was set aside, and how often it was on the disk. */
class Aside implements Quarantine {
  readonly lines: Record<string, unknown>[] = [];
  settled = 0;
  get count(): number {
    return this.lines.length;
  }
  take(line: string): void {
    this.lines.push(JSON.parse(line) as Record<string, unknown>);
  }
  settle(): void {
    this.settled = this.lines.length;
  }
  close(): void {}
}

describe.each(forms)("the log on one channel, by %s", (form) => {
  const open = (
    chunks: readonly (readonly EngineMessage[])[],
    options?: OpenOptions,
  ) => openIn(form, chunks, options);

  test("is covered at commits, by one checkpoint of each stream that has had rows", async () => {
    const { log, sent, groups, engine } = open(
      [
        [begin(10), insert("a", row), insert("b", row), commit(10)],
        [begin(20), insert("b", row), commit(20)],
        [begin(90)],
      ],
      { until: before(50) },
    );
    await log.run();
    expect(groups.map(({ position, members }) => [position, members])).toEqual([
      [
        behind(10),
        [
          { stream: 1, index: 1 },
          { stream: 2, index: 2 },
        ],
      ],
      [behind(20), [{ stream: 2, index: 3 }]],
      [
        before(50),
        [
          { stream: 1, index: 4 },
          { stream: 2, index: 5 },
        ],
      ],
    ]);
    expect(sent.filter(({ what }) => what !== "batch")).toEqual([
      { what: "checkpoint", stream: 1, rows: 1 },
      { what: "checkpoint", stream: 2, rows: 1 },
      { what: "checkpoint", stream: 2, rows: 1 },
      { what: "last", stream: 1, rows: 0 },
      { what: "last", stream: 2, rows: 0 },
    ]);
    // the source forgets what the ledger has, and nothing before
    expect(engine.acks).toEqual([offset(11), offset(21)]);
  });

  test("never stands inside a transaction, however it is cut into pieces", async () => {
    const { log, groups } = open(
      [
        [begin(10), insert("a", row)],
        [insert("a", row)],
        [insert("b", row), commit(10)],
        [begin(90)],
      ],
      { until: before(50) },
    );
    await log.run();
    expect(groups.map(({ position }) => position)).toEqual([
      behind(10),
      before(50),
    ]);
  });

  test("passes over what a stream has: up to its own place, and what its snapshot shows", async () => {
    const chunks = [
      [begin(10, 7), insert("a", row), commit(10)],
      [begin(20, 8), insert("a", row), commit(20)],
      [begin(30, 9), insert("a", row), commit(30)],
      [begin(90)],
    ];
    const later = open(chunks, { until: before(50), after: behind(20) });
    await later.log.run();
    expect(later.sent.filter(({ what }) => what === "batch")).toHaveLength(1);
    const seen = open(chunks, { until: before(50), visible: "9:10:9" });
    await seen.log.run();
    expect(seen.sent.filter(({ what }) => what === "batch")).toHaveLength(1);
  });

  test("moves on where nobody changes anything", async () => {
    const idle: EngineMessage = { type: "heartbeat", offset: offset(40) };
    const { log, groups } = open([[idle], [begin(90)]], { until: before(50) });
    await log.run();
    expect(groups[0]).toMatchObject({
      position: before(40),
      offset: offset(40),
      members: [],
    });
  });

  test("ends behind the commit at which it is told to, and where an earlier attempt has begun to end it", async () => {
    const { log, groups, endings } = open([
      [begin(10), insert("a", row)],
      [insert("a", row), commit(10)],
    ]);
    log.wish("stop");
    await log.run();
    expect(endings).toEqual([behind(10)]);
    expect(groups.at(-1)?.position).toBe(behind(10));
    const again = open(
      [[begin(10), insert("a", row), commit(10)], [begin(20)]],
      { until: behind(10) },
    );
    await again.log.run();
    expect(again.endings).toEqual([behind(10)]);
  });

  test("does not end while it is held, however far it is", async () => {
    const { log, groups, endings } = open(
      [
        [begin(10), insert("a", row), commit(10)],
        [begin(60), insert("a", row), commit(60)],
      ],
      { until: before(50), isHeld: true },
    );
    setTimeout(() => {
      expect(endings).toEqual([]);
      log.release();
    }, 20);
    await log.run();
    expect(endings).toEqual([behind(60)]);
    expect(groups.at(-1)?.position).toBe(behind(60));
  });

  test("has a checkpoint at the next commit when it is in a hurry", async () => {
    const { log, groups } = open(
      [
        [begin(10), insert("a", row), commit(10)],
        [begin(20), insert("a", row), commit(20)],
        [begin(90)],
      ],
      { until: before(50), checkpointEveryMs: 60_000 },
    );
    log.pace(60_000);
    await log.run();
    expect(groups.map(({ position }) => position)).toEqual([
      behind(10),
      before(50),
    ]);
  });

  test("counts what it has read, and says as of when all of it is", async () => {
    const { log, groups } = open(
      [
        [begin(10), insert("a", row), insert("b", row), commit(10)],
        [begin(20), commit(20)],
        [begin(90)],
      ],
      { until: before(50) },
    );
    const startedMs = Date.now();
    await log.run();
    expect(groups.at(-1)?.figures).toMatchObject({
      events: 2,
      transactions: 2,
    });
    // of the commits, which are long past, and not of the clock
    expect(groups.at(-1)?.figures.asOfMs).toBeGreaterThan(0);
    expect(groups.at(-1)?.figures.asOfMs).toBeLessThan(startedMs);
  });

  test("is left to another attempt behind a checkpoint, without a last one", async () => {
    const { log, sent, endings } = open([
      [begin(10), insert("a", row), commit(10)],
    ]);
    log.wish("cancel");
    await log.run();
    expect(endings).toEqual([]);
    expect(sent.map(({ what }) => what)).toEqual(["batch", "checkpoint"]);
  });

  test("has the columns of now, whatever the table had when the change was made", async () => {
    const { log, sent } = open(
      [
        [begin(10), insert("a", { id: 1 }), commit(10)],
        [begin(20), insert("a", row), commit(20)],
        [begin(90)],
      ],
      { until: before(50) },
    );
    await log.run();
    expect(sent.filter(({ what }) => what === "batch")).toHaveLength(2);
  });

  test("ends before a column that has come since the run began, and never cuts it off", async () => {
    const added = { ...row, extra: 5 };
    const { log, endings, groups } = open(
      [
        [begin(10), insert("a", row), commit(10)],
        [begin(20), insert("a", added), commit(20)],
      ],
      { discoveredAt: before(15) },
    );
    await log.run();
    expect(endings).toEqual([behind(10)]);
    expect(groups.at(-1)?.position).toBe(behind(10));
    // rows of the transaction are on their way already: another attempt ends the run
    const late = open(
      [
        [begin(10), insert("a", row), commit(10)],
        [begin(20), insert("b", row), insert("a", added), commit(20)],
      ],
      { discoveredAt: before(15) },
    );
    await expect(late.log.run()).rejects.toMatchObject({ code: "LOG_TURNED" });
    expect(late.endings).toEqual([behind(10)]);
  });

  test("ends behind a statement that alters a table of it, once that has been committed", async () => {
    const { log, endings, groups } = open(
      [
        [begin(10), insert("a", row), commit(10)],
        [begin(20), alter("a", "ALTER TABLE a ADD extra int"), commit(20)],
        [begin(30), insert("b", row), commit(30)],
      ],
      { discoveredAt: before(15) },
    );
    await log.run();
    expect(endings).toEqual([behind(20)]);
    expect(groups.at(-1)?.position).toBe(behind(20));
    // what was altered before is known, and other tables are nobody's business
    const known = open(
      [
        [begin(10), alter("a", "ALTER TABLE a ADD extra int"), commit(10)],
        [begin(20), alter("z", "DROP TABLE z"), commit(20)],
        [begin(90)],
      ],
      { until: before(50), discoveredAt: before(15) },
    );
    await known.log.run();
    expect(known.endings).toEqual([before(50)]);
  });

  test("stops by name where rows of a table of it come or go without an event", async () => {
    const gone = [[begin(10), alter("a", "DROP TABLE `a`"), commit(10)]];
    const { log } = open(gone);
    await expect(log.run()).rejects.toMatchObject({
      code: "SOURCE_SCHEMA_CHANGED",
      message: expect.stringContaining("public.a"),
    });
    // its copy is of the table that came afterwards
    const later = open([...gone, [begin(90)]], {
      until: before(50),
      after: before(11),
    });
    await later.log.run();
    expect(later.endings).toEqual([before(50)]);
  });

  test("ends where tables come to it, with what stands for a log that begins there", async () => {
    const entry = {
      position: before(50),
      offset: offset(50),
      history: ["create table b"],
      streams: [2],
    };
    const chunks = [
      [begin(10), insert("a", row), commit(10)],
      // the log is told to stand further on, and that is no place for an entry
      [{ type: "heartbeat", offset: offset(70) } as const],
    ];
    const { log, groups, endings } = open(chunks, {
      until: entry.position,
      entry,
    });
    // not even where it is told to stop
    log.wish("stop");
    await log.run();
    expect(endings).toEqual([before(50)]);
    expect(groups.at(-1)).toMatchObject({
      position: before(50),
      offset: offset(50),
      history: ["create table b"],
      members: [{ stream: 1 }, { stream: 2 }],
    });
  });

  test("needs no engine where there is nothing to be read", async () => {
    const { log, groups, endings, sent } = open([], {
      engine: null,
      until: before(1),
    });
    await log.run();
    expect(endings).toEqual([before(1)]);
    expect(groups).toHaveLength(1);
    expect(sent.map(({ what }) => what)).toEqual(["last", "last"]);
  });

  test("does not guess which column a renamed one has become", async () => {
    const { log } = open([
      [begin(10), insert("a", { id: 1, earlier: "x" }), commit(10)],
    ]);
    await expect(log.run()).rejects.toMatchObject({
      code: "SOURCE_SCHEMA_CHANGED",
    });
  });

  test("does not wait for a group that the ledger will never have, once it is told so", async () => {
    const ends: string[] = [];
    const { log, engine } = open(
      [[begin(10), insert("a", row), commit(10)], [begin(90)]],
      {
        until: before(50),
        events: {
          onGroup: () => {},
          onEnding: (position) => {
            ends.push(position);
            log.end(position);
          },
        },
      },
    );
    const running = log.run();
    while (ends.length === 0)
      await new Promise((resolve) => setImmediate(resolve));
    log.wish("cancel");
    await running;
    expect(engine.acks).toEqual([]);
  });
});

describe.each(forms)("events that cannot be decoded, by %s", (form) => {
  const open = (
    chunks: readonly (readonly EngineMessage[])[],
    options?: OpenOptions,
  ) => openIn(form, chunks, options);

  const broken = (value: string): EngineMessage => ({
    ...(insert("a", row) as Extract<EngineMessage, { type: "event" }>),
    order: 7,
    value: Buffer.from(value),
  });
  const chunks = [
    [begin(10), insert("a", row), broken('{"op":'), insert("b", row)],
    [
      broken(
        '{"op":"c","after":{"id":null,"v":""},"source":{"schema":"public","table":"a","ts_us":1}}',
      ),
      commit(10),
    ],
    [begin(90)],
  ];

  test("end the log by name", async () => {
    await expect(
      open(chunks, { until: before(50) }).log.run(),
    ).rejects.toMatchObject({ code: "SOURCE_EVENT_INVALID" });
  });

  test("are set aside where they may be, before the checkpoint that is behind them", async () => {
    const quarantine = new Aside();
    const { log, groups, sent } = open(chunks, {
      until: before(50),
      quarantine,
    });
    await log.run();
    expect(quarantine.lines).toMatchObject([
      { stream: "m.public.a", code: "SOURCE_EVENT_INVALID" },
      { stream: "public.a", code: "SOURCE_EVENT_INVALID" },
    ]);
    expect(quarantine.lines[0]?.["position"]).toBe(
      `00000001-${hex(10)}-0000000007`,
    );
    expect(quarantine.settled).toBe(2);
    expect(groups.map(({ quarantined }) => quarantined)).toEqual([2, 2]);
    expect(sent.filter(({ what }) => what === "batch")).toHaveLength(2);
  });
});

test("a frame goes on behind an event of it that cannot be read, which is set aside as far as it is known", async () => {
  const quarantine = new Aside();
  const row = [
    { name: "id", type: "INT32" },
    { name: "v", type: "TEXT" },
  ];
  const shape = {
    ...{ number: 1, topic: "m.public.a", namespace: "public", table: "a" },
    ...{ row, key: row.slice(0, 1) },
  };
  const change = (op: string, order: number, after: readonly number[]) => ({
    event: {
      ...{ shape: 1, op: op.charCodeAt(0), order, committed_us: 5 },
      after: Buffer.from(after),
    },
  });
  const x = [8, 2, 18, 1, 120];
  const frame = encodeFrame([
    { shape },
    change("c", 1, x),
    change("q", 2, x),
    change("c", 3, [8, 2, 18, 9, 120]),
    change("c", 4, x),
  ]);
  const { log, groups, sent } = openIn(
    "lines",
    [
      [begin(10), { type: "events", run: readRun(frame) }, commit(10)],
      [begin(90)],
    ],
    { until: before(50), quarantine },
  );
  await log.run();
  expect(sent.filter(({ what }) => what === "batch")).toEqual([
    { what: "batch", stream: 1, rows: 2 },
  ]);
  expect(
    quarantine.lines.map(({ stream, number, position, reason }) => [
      ...[stream, number, position, reason],
    ]),
  ).toEqual([
    [
      ...["m.public.a", 2, `00000001-${hex(10)}-0000000000`],
      expect.stringContaining("the operation q"),
    ],
    [
      ...["public.a", 3, `00000001-${hex(10)}-0000000003`],
      expect.stringContaining("cut off"),
    ],
  ]);
  expect(groups.at(-1)?.quarantined).toBe(2);
});

describe("a log in units", () => {
  const closing = (lsn: number, closes: "group" | "log"): EngineMessage => ({
    ...(commit(lsn) as Extract<EngineMessage, { type: "commit" }>),
    closes,
  });

  test("has the end of each in the ledger before its rows count, and ends where the engine says", async () => {
    const { log, groups, endings } = openIn(
      "lines",
      [
        [begin(10), insert("a", row)],
        [{ type: "intent", offset: offset(5) }],
        [closing(10, "group"), begin(20), insert("b", row)],
        [{ type: "intent", offset: offset(6) }, closing(20, "log")],
      ],
      { until: behind(999), checkpointEveryMs: 3_600_000 },
    );
    await log.run();
    expect(
      groups.map(({ position, offset: at, members }) => [
        position,
        at,
        members.length,
      ]),
    ).toEqual([
      [before(1), offset(5), 0],
      [behind(10), offset(11), 1],
      [behind(10), offset(6), 0],
      [behind(20), offset(21), 2],
    ]);
    expect(endings).toEqual([behind(20)]);
  });
});
