/** States over all streams: what they say, and that a new ledger is what it was behind them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test as base } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import type { AirbyteState } from "../../../connectors/airbyte/messages.ts";
import { readStates } from "../../../connectors/airbyte/messages.ts";
import {
  ChangeMessages,
  type ReadPlace,
} from "../../../daemon/airbyte/change-messages.ts";
import type { ConfiguredStream } from "../../../daemon/airbyte/configured-streams.ts";
import { readConfiguredStreams } from "../../../daemon/airbyte/configured-streams.ts";
import { parseSharedState } from "../../../daemon/airbyte/shared-state.ts";
import type { RunBook } from "../../../daemon/run-book.ts";
import type { DurableReport } from "../../../proto/checkpoint.ts";
import type { Partition, Plan } from "../../../proto/partition.ts";
import { buildSchema } from "../../fixtures/batches.ts";

const test = base.extend<{ ledger: Ledger }>({
  ledger: async ({ task: _ }, use) => {
    const root = mkdtempSync(join(tmpdir(), "millrace-test-"));
    const ledger = Ledger.open(join(root, "ledger.sqlite"), { create: true });
    try {
      await use(ledger);
    } finally {
      ledger.close();
      rmSync(root, { recursive: true, force: true });
    }
  },
});

const relation = { schema: "shop", name: "orders", oid: 7 };
const owner = { pid: 1, pidStartTime: null, runDir: "" };

function position(commit: number): string {
  return `00000001-${String(commit).padStart(20, "0")}-0000000000`;
}

const record = {
  ...{ slot: "s", publication: "p", stage: "ready", sourceEpoch: 1 },
  ...{ identity: "server", position: position(1), offset: '{"lsn":1}' },
  ...{ history: ["one"], givenUp: null },
};

/** `orders` in two ranges of keys, `notes` of which nothing but changes is read. */
function planOf(stream: number): Plan {
  const log = {
    ...{ stream, relation, only: false, estimatedRows: 0, estimatedBytes: 0 },
    split: { kind: "log", after: position(1), snapshot: null },
  } as const;
  const range = (ordinal: number, start: string[] | null): Partition => ({
    ...{ stream, ordinal, relation, only: true },
    ...{ estimatedRows: 9, estimatedBytes: 99 },
    split: {
      kind: "key",
      ...{ columns: ["id"], types: ["integer"] },
      ...{ start, end: start === null ? ["50"] : null },
    },
  });
  return {
    ...{ stream, rung: "keyRanges", reason: "" },
    ...{ estimatedRows: 18, estimatedBytes: 198 },
    partitions:
      stream === 1
        ? [range(0, null), range(1, ["50"]), { ...log, ordinal: 2 }]
        : [{ ...log, ordinal: 0 }],
  };
}

const names = ["orders", "notes"];

const book = {
  logRecord: () => record,
  entry: null,
  openAtStart: () => [],
  stream: (number: number) => {
    const name = names[number - 1] ?? "";
    const schema = {
      ...buildSchema({ id: "int32" }),
      ...{ number, namespace: "shop", name },
    };
    return {
      ref: { number, namespace: "shop", name },
      ...{ schema, plan: planOf(number) },
    };
  },
} as unknown as RunBook;

function configured(states: readonly AirbyteState[]) {
  const streams = names.map((name) => ({
    stream: { name, namespace: "shop", json_schema: {} },
    ...{ sync_mode: "incremental", destination_sync_mode: "append" },
  }));
  return readConfiguredStreams(
    { streams } as Parameters<typeof readConfiguredStreams>[0],
    states,
    null,
    true,
  );
}

function begin(
  states: readonly AirbyteState[],
  onMessage: ((message: string) => void) | null = null,
): ChangeMessages {
  const streams = configured(states);
  const place: ReadPlace = {
    shared: parseSharedState(states),
    started: new Set(),
    states: 0,
    streams: new Map(
      streams.flatMap(({ state, namespace, name }: ConfiguredStream) =>
        state === null
          ? []
          : [
              [
                JSON.stringify([namespace, name]),
                { namespace, name, state },
              ] as const,
            ],
      ),
    ),
  };
  const messages = new ChangeMessages({
    ...{ streams, place, names: { slot: "s", publication: "p" } },
    ...{ namesPartitions: onMessage !== null, onMessage },
  });
  for (const number of [1, 2]) messages.begun(book, number);
  return messages;
}

function report(
  stream: number,
  partition: number,
  index: number,
  more: Partial<DurableReport>,
): DurableReport {
  return {
    ...{ stream, partition, index, epoch: 1, attempt: 1, sequence: index },
    ...{ position: null, rows: 5, bytes: 50, last: false, files: [] },
    ...more,
  };
}

function group(
  number: number,
  commit: number,
  members: [stream: number, index: number][],
): Parameters<ChangeMessages["grouped"]>[1] {
  return {
    ...{ type: "log.checkpoint", group: number, position: position(commit) },
    offset: `{"lsn":${commit}}`,
    history: null,
    members: members.map(([stream, index]) => ({ stream, index })),
    figures: { asOfMs: 0, events: 0, transactions: 0, heartbeats: 0 },
  };
}

/** Of messages of which at most one is a state. */
function stateOf(messages: readonly string[]): AirbyteState | null {
  const found = messages.filter((one) => one.includes('"STATE"'));
  expect(found.length).toBeLessThanOrEqual(1);
  const [text] = found;
  if (text === undefined) return null;
  const { state } = JSON.parse(text) as { state: unknown };
  return readStates([state])[0] ?? null;
}

function kindsOf(state: AirbyteState | null): unknown[] {
  return (state?.global?.stream_states ?? []).map(
    ({ stream_descriptor: { name }, stream_state: of }) => [
      name,
      (of as { kind: string }).kind,
    ],
  );
}

describe("a state over all streams", () => {
  test("comes with rows alone, and counts what no other has", () => {
    const messages = begin([]);
    const first = stateOf(
      messages.recorded(
        book,
        report(1, 0, 1, { position: { kind: "key", after: ["7"] } }),
      ),
    );
    expect(first?.sourceStats?.recordCount).toBe(5);
    expect(kindsOf(first)).toEqual([
      ["orders", "copy"],
      ["notes", "log"],
    ]);
    // others may be in the middle of their turn
    const silent = messages.recorded(
      book,
      report(1, 0, 2, { rows: 0, last: true }),
    );
    expect(stateOf(silent)).toBeNull();
    const last = stateOf(
      messages.recorded(book, report(1, 1, 3, { rows: 2, last: true })),
    );
    expect(last?.sourceStats?.recordCount).toBe(2);
    expect(kindsOf(last)).toEqual([
      ["orders", "log"],
      ["notes", "log"],
    ]);
  });

  test("of the log waits for all members of a group, whichever way its news take", () => {
    const messages = begin([]);
    const told = [
      messages.recorded(book, report(1, 2, 1, { rows: 1 })),
      messages.grouped(
        book,
        group(1, 2, [
          [1, 1],
          [2, 1],
        ]),
      ),
      messages.recorded(book, report(2, 0, 1, { rows: 3 })),
      // without rows: told with the next
      messages.grouped(book, group(2, 3, [])),
    ].map(stateOf);
    expect(told.map((one) => one?.sourceStats?.recordCount ?? null)).toEqual([
      ...[null, null, 4, null],
    ]);
    expect(told[2]?.global?.shared_state).toMatchObject({
      log: {
        ...{ position: position(2), offset: '{"lsn":2}', history: ["one"] },
      },
    });
    for (const stream of [1, 2]) messages.complete(book, stream);
    const end = messages.takeEnd(true);
    expect(stateOf(end)?.global?.shared_state).toMatchObject({
      log: { position: position(3) },
    });
    expect(end.slice(1).every((one) => one.includes("COMPLETE"))).toBe(true);
    expect(end).toHaveLength(3);
  });

  test("over sockets has the next id and the partition of its rows, and is told to the platform as well", () => {
    const platform: string[] = [];
    const messages = begin([], (message) => platform.push(message));
    const file = (path: string) => ({ files: [{ path, rows: 1, bytes: 1 }] });
    const told = [
      messages.recorded(book, report(1, 0, 1, { last: true, ...file("1-0") })),
      messages.recorded(book, report(1, 2, 2, { rows: 1, ...file("2-0") })),
      // a group waits for the one before, and each counts its own
      messages.grouped(book, group(1, 2, [[1, 2]])),
      messages.recorded(book, report(2, 0, 1, { rows: 3, ...file("2-1") })),
      messages.recorded(
        book,
        report(1, 2, 3, { rows: 0, ...file("not opened") }),
      ),
      messages.grouped(
        book,
        group(2, 3, [
          [1, 3],
          [2, 1],
        ]),
      ),
    ].flat();
    const states = told
      .filter((one) => one.includes('"STATE"'))
      .map((one) => (JSON.parse(one) as { state: object }).state);
    expect(states).toMatchObject([
      { id: 1, partition_id: "1-0", sourceStats: { recordCount: 5 } },
      { id: 2, partition_id: "2-0", sourceStats: { recordCount: 1 } },
      { id: 3, partition_id: "2-1", sourceStats: { recordCount: 3 } },
    ]);
    expect(told.every((one) => platform.includes(one))).toBe(true);
    messages.waiting.warn("look");
    expect(platform.at(-1)).toContain("look");
    messages.grouped(book, group(3, 4, []));
    const [end = ""] = messages.takeEnd(true);
    expect(JSON.parse(end)).toMatchObject({
      state: {
        ...{ id: 4, partition_id: "none-4", sourceStats: { recordCount: 0 } },
      },
    });
  });

  test("makes of a new ledger what it was, and says what is left of a copy", ({
    ledger,
  }) => {
    const before = begin([]);
    const state = stateOf(
      before.recorded(
        book,
        report(1, 0, 1, { position: { kind: "key", after: ["7"] } }),
      ),
    );
    const messages = begin([state!]);
    const sync = { id: "sync", name: null, source: "", destination: "" };
    ledger.upsertSync(sync);
    messages.fill(ledger, "sync", owner);
    expect(ledger.findUnfinishedRun("sync")).toBeNull();
    expect(ledger.logOf("sync")).toEqual(record);
    expect(ledger.lastSchemasOf("sync").map(({ name }) => name)).toEqual([
      "notes",
    ]);
    expect(ledger.cursorState("sync", "shop", "notes")).toBe(
      JSON.stringify({ log: position(1) }),
    );
    expect(ledger.cursorState("sync", "shop", "orders")).toBeNull();
    const { schema } = book.stream(1);
    const kept = messages.planOf({
      schema,
      leaves: [{ ...relation, only: true, fileNode: 0 }],
      key: {
        name: "pk",
        primary: true,
        columns: [{ name: "id", type: "integer", exact: true }],
      },
    } as unknown as Parameters<ChangeMessages["planOf"]>[0]);
    expect(kept?.plan.partitions.map(({ split }) => split)).toMatchObject([
      { start: null, end: ["50"] },
      { start: ["50"], end: null },
    ]);
    expect(kept?.open).toEqual([
      { partition: 0, position: { kind: "key", after: ["7"] } },
    ]);
    expect(messages.isBegun({ namespace: "shop", name: "orders" })).toBe(true);
    expect(messages.isBegun({ namespace: "shop", name: "notes" })).toBe(false);
  });

  test.for([
    { name: "of single streams", states: [{ type: "STREAM" }] },
    {
      name: "of another connector",
      states: [{ type: "GLOBAL", global: { shared_state: { state: {} } } }],
    },
    {
      name: "without a place",
      states: [
        {
          type: "GLOBAL",
          global: { shared_state: { millrace: 1, log: { slot: "s" } } },
        },
      ],
    },
  ])("$name is refused", ({ states }) => {
    expect(() =>
      parseSharedState(states as unknown as readonly AirbyteState[]),
    ).toThrow(expect.objectContaining({ code: "STATE_INCOMPATIBLE" }));
  });
});
