import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { AirbyteSettings } from "../../../connectors/sources/airbyte/config.ts";
import { pythonSource, readForeign, writeCatalog } from "./foreign.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-catalog-"));
/** Asked for once, and not by each test. */
const catalog = writeCatalog(folder, ["users", "orders"]);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function connector(
  config: Record<string, unknown>,
  more: Partial<AirbyteSettings> = {},
): AirbyteSettings {
  return {
    command: pythonSource,
    config: { streams: ["users", "orders"], rows: 25, ...config },
    catalog,
    ...more,
  } as AirbyteSettings;
}

const all = Array.from({ length: 25 }, (_, i) => i + 1);

test("every record arrives once, and each state covers what came before it", async () => {
  const { error, ids, covered, groups, failed } = await readForeign({
    settings: connector({ state_every: 10 }),
  });
  expect(error).toBeNull();
  expect(failed).toEqual([]);
  expect(ids).toEqual({ users: all, orders: all });
  expect(covered).toEqual({ users: 25, orders: 25 });
  expect(groups.map(({ scope, members }) => [scope, members.length])).toEqual([
    ["STREAM", 1],
    ["STREAM", 1],
    ["STREAM", 1],
    [null, 1],
    ["STREAM", 1],
    ["STREAM", 1],
    ["STREAM", 1],
    [null, 1],
  ]);
});

test("states that come soon after each other become one checkpoint", async () => {
  const { groups, covered } = await readForeign({
    settings: connector({ state_every: 1 }),
    checkpointEveryMs: 60_000,
  });
  expect(groups).toHaveLength(2);
  expect(covered).toEqual({ users: 25, orders: 25 });
  expect(groups[0]?.body).toContain('"row":25');
});

test.for([
  { states: "GLOBAL", body: '"seen":50' },
  { states: "LEGACY", body: '"orders":25' },
])("a $states state covers all streams", async ({ states, body }) => {
  const { error, covered, groups } = await readForeign({
    settings: connector({ states, state_every: 10 }),
  });
  expect(error).toBeNull();
  expect(covered).toEqual({ users: 25, orders: 25 });
  expect(groups.findLast((one) => one.body !== null)?.body).toContain(body);
  // both end together, since a state of both may still come
  expect(groups.at(-1)?.members).toHaveLength(2);
});

test("a source that gives no states is covered by its end", async () => {
  const { covered, groups } = await readForeign({
    settings: connector({ states: "NONE" }),
  });
  expect(covered).toEqual({ users: 25, orders: 25 });
  expect(groups.every(({ body }) => body === null)).toBe(true);
});

/** What a connector may do at row 15, behind the state at row 10. */
test.for([
  {
    fault: "truncated",
    code: "CONNECTOR_MESSAGE_INVALID",
    says: /ends inside/,
  },
  { fault: "garbage", code: "CONNECTOR_MESSAGE_INVALID", says: /no JSON/ },
  {
    fault: "huge line",
    code: "CONNECTOR_MESSAGE_INVALID",
    says: /longer than/,
  },
  {
    fault: "unknown stream",
    code: "CONNECTOR_MESSAGE_INVALID",
    says: /nobody/,
  },
  {
    fault: "wrong count",
    code: "CONNECTOR_COUNT_MISMATCH",
    says: /counts 11 records, and 10 have arrived/,
  },
  {
    fault: "lying schema",
    code: "SOURCE_VALUE_UNREPRESENTABLE",
    says: /users.*id.*not a number/,
  },
  {
    fault: "error",
    code: "CONNECTOR_CONFIG_ERROR",
    says: /the key has expired/,
  },
  {
    fault: "die",
    code: "CONNECTOR_FAILED",
    says: /exit code 3: Traceback: something broke/,
  },
  { fault: "kill", code: "CONNECTOR_FAILED", says: /signal SIGKILL/ },
])(
  "$fault: $code, and the state before it stands",
  async ({ fault, code, says }) => {
    const { error, covered } = await readForeign({
      settings: connector({ fault, fault_at: 15, state_every: 10 }),
    });
    expect(error?.code).toBe(code);
    expect(error?.message).toMatch(says);
    expect(covered).toEqual({ users: 10 });
  },
);

test("what a connector's failure is worth is what it says itself", async () => {
  const { error } = await readForeign({
    settings: connector({
      fault: "error",
      fault_at: 15,
      failure_type: "transient_error",
    }),
  });
  expect(error?.code).toBe("CONNECTOR_TRANSIENT_ERROR");
  expect(error?.details).toMatchObject({ failureType: "transient_error" });
});

test.for(["printed", "unknown type"])(
  "%s on stdout is told, and no harm",
  async (fault) => {
    const { error, ids, log } = await readForeign({
      settings: connector({ fault, fault_at: 15 }),
    });
    expect(error).toBeNull();
    expect(ids).toEqual({ users: all, orders: all });
    expect(log.join("\n")).toMatch(/Loading the library|TELEGRAM/);
  },
);

test("a record behind COMPLETE is refused", async () => {
  const { error } = await readForeign({
    settings: connector({ fault: "behind complete" }),
  });
  expect(error?.message).toMatch(/behind the status COMPLETE/);
});

test("a stream that its source gives up fails alone", async () => {
  const { error, covered, failed } = await readForeign({
    settings: connector({ fault: "incomplete", no_last_state: true }),
  });
  expect(error).toBeNull();
  expect(failed).toEqual([
    { stream: "orders", code: "CONNECTOR_STREAM_INCOMPLETE" },
  ]);
  expect(covered).toEqual({ users: 25, orders: 20 });
});

test("where what was told of it must not be lost, the read fails, once the other streams are there", async () => {
  const { error, covered, failed } = await readForeign({
    settings: connector({ fault: "incomplete", no_last_state: true }),
    failsAlone: false,
  });
  expect(error?.code).toBe("CONNECTOR_STREAM_INCOMPLETE");
  expect(failed).toEqual([]);
  expect(covered).toEqual({ users: 25, orders: 20 });
});

test.for([
  {
    fault: "never starts",
    more: { startDeadline: 1 },
    code: "CONNECTOR_START_TIMEOUT",
  },
  { fault: "silence", more: { silenceDeadline: 1 }, code: "CONNECTOR_SILENT" },
])("$fault: $code within its deadline", async ({ fault, more, code }) => {
  const { error } = await readForeign({
    settings: connector({ fault, fault_at: 15 }, more),
  });
  expect(error?.code).toBe(code);
});

test("a command that is not there is told by its name", async () => {
  await expect(
    readForeign({ settings: { command: ["/no/such/connector"] } }),
  ).rejects.toMatchObject({
    code: "CONNECTOR_NOT_STARTED",
    message: expect.stringContaining("/no/such/connector") as string,
  });
});

const formats = [
  { format: "JSONL", generation: 2 },
  { format: "PROTOBUF", generation: 2 },
  { format: "PROTOBUF", generation: 1 },
] as const;

test.for(formats)(
  "over sockets, $format of generation $generation: late, repeated and unordered states count all records",
  async ({ format, generation }) => {
    const { error, ids, covered, groups } = await readForeign({
      settings: connector({ rows: 95, state_every: 10, generation }),
      sockets: { count: 3, format, generation },
    });
    expect(error).toBeNull();
    const wanted = Array.from({ length: 95 }, (_, i) => i + 1);
    expect(ids["users"]?.toSorted((a, b) => a - b)).toEqual(wanted);
    expect(covered).toEqual({ users: 95, orders: 95 });
    const rows = groups.flatMap(({ stream, body }) =>
      stream === 1 && body !== null
        ? [(JSON.parse(body) as { id: number }).id]
        : [],
    );
    expect(rows).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  },
);

test.for([
  {
    fault: "wrong count",
    code: "CONNECTOR_COUNT_MISMATCH",
    says: /counts 11 records, and 10 have arrived/,
  },
  {
    fault: "lost state",
    code: "CONNECTOR_STATE_MISSING",
    says: /state 2 of users never came, and state 3 did/,
  },
  {
    fault: "states differ",
    code: "CONNECTOR_MESSAGE_INVALID",
    says: /two states of users have the id 8 and differ/,
  },
  {
    fault: "dies before listening",
    code: "CONNECTOR_FAILED",
    says: /exit code 7: cannot bind/,
  },
  { fault: "die", code: "CONNECTOR_FAILED", says: /exit code 9/ },
  {
    fault: "cut envelope",
    code: "CONNECTOR_MESSAGE_INVALID",
    says: /ends inside/,
  },
  {
    fault: "short row",
    code: "CONNECTOR_MESSAGE_INVALID",
    says: /10 values, and its schema 11 fields/,
  },
])("over sockets, $fault: $code", async ({ fault, code, says }) => {
  const { error } = await readForeign({
    settings: connector({ fault, fault_at: 15, state_every: 10 }),
    sockets: { count: 2, format: "PROTOBUF", generation: 2 },
  });
  expect(error?.code).toBe(code);
  expect(error?.message).toMatch(says);
});

test("a source that never listens is told within its deadline", async () => {
  const { error } = await readForeign({
    settings: connector({ fault: "never listens" }, { startDeadline: 1 }),
    sockets: { count: 1, format: "PROTOBUF", generation: 2 },
  });
  expect(error?.code).toBe("CONNECTOR_START_TIMEOUT");
});

test("the wrong generation of values is refused and not misread", async () => {
  const { error } = await readForeign({
    settings: connector({ generation: 1 }),
    sockets: { count: 1, format: "PROTOBUF", generation: 2 },
  });
  expect(error?.message).toMatch(/speaks version 0\.0\.1/);
});
