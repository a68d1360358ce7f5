/**
 * The shapes of what comes and goes, as JSON Schema. They check requests, write answers (what a shape does not name is
 * not sent) and are the components of the OpenAPI document.
 */

/** A JSON Schema; fastify reads it. */
export type Schema = Readonly<Record<string, unknown>>;

export const NAME_LENGTH_MAX = 100;
export const ID_LENGTH_MAX = 64;
export const KEY_LENGTH_MAX = 255;
export const STREAM_LENGTH_MAX = 512;
const PATTERNS_MAX = 10_000;
const BOUND_LENGTH_MAX = 65_536;
const PAGE_MAX = 1000;

const text = { type: "string" } as const;
const maybeText = { type: ["string", "null"] } as const;
const whole = { type: "integer", minimum: 0 } as const;
const time = {
  type: "integer",
  description: "Milliseconds since the Unix epoch.",
} as const;
const maybeTime = {
  type: ["integer", "null"],
  description: "Milliseconds since the Unix epoch.",
} as const;
const free = { type: "object", additionalProperties: true } as const;
const maybeFree = { type: ["object", "null"], additionalProperties: true };

export const reference = (name: string): Schema => ({ $ref: `${name}#` });

export const listOf = (items: Schema): Schema => ({ type: "array", items });

/** All members are there unless they are named as optional. */
export function object(
  properties: Readonly<Record<string, Schema>>,
  extra: Schema = {},
): Schema {
  return {
    type: "object",
    properties,
    required: Object.keys(properties),
    ...extra,
  };
}

const runStates = [
  "running",
  "succeeded",
  "partlyFailed",
  "failed",
  "interrupted",
  "abandoned",
] as const;

export const queueStates = [
  "queued",
  "taken",
  "paused",
  "succeeded",
  "failed",
  "cancelled",
] as const;

const wireError = {
  type: ["object", "null"],
  properties: { code: text, message: text, details: free },
} as const;

const bound = { ...maybeText, maxLength: BOUND_LENGTH_MAX };
const pattern = { ...text, minLength: 1, maxLength: STREAM_LENGTH_MAX };

const scope = {
  streams: {
    type: ["array", "null"],
    maxItems: PATTERNS_MAX,
    items: pattern,
    description: "Patterns of tables: table, schema.table, * as wildcard.",
  },
  ranges: {
    type: ["array", "null"],
    maxItems: PATTERNS_MAX,
    description: "Key ranges: from <= column < until; null is open.",
    items: {
      type: "object",
      required: ["stream", "column"],
      additionalProperties: false,
      properties: {
        stream: pattern,
        column: pattern,
        from: bound,
        until: bound,
      },
    },
  },
  window: {
    type: ["object", "null"],
    description: "A window of the sync's cursor: from < cursor <= to.",
    additionalProperties: false,
    properties: { from: bound, to: bound },
  },
};

const counts = {
  runs: { ...whole, description: "In the days that are counted." },
  successRate: {
    type: ["number", "null"],
    description: "Of those that are over; null while none is.",
  },
};

const countedDays = {
  type: "array",
  description: "Oldest first; days without runs are left out.",
  items: object({
    day: { ...time, description: "Its begin in UTC." },
    runs: {
      type: "object",
      additionalProperties: whole,
      description: "By the state that they are in now.",
    },
  }),
};

/** By name; each becomes a component of the document. */
export const components: Readonly<Record<string, Schema>> = {
  Error: {
    ...object({
      error: object({ code: text, message: text, help: text, details: free }),
    }),
    examples: [
      {
        error: {
          code: "SYNC_NOT_FOUND",
          message: "no sync is called `shops`; is it `shop`?",
          help: "`GET /api/v1/syncs` lists them.",
          details: { sync: "shops" },
        },
      },
    ],
  },
  Trigger: {
    type: "object",
    additionalProperties: false,
    properties: {
      ...scope,
      key: {
        ...maybeText,
        minLength: 1,
        maxLength: KEY_LENGTH_MAX,
        description: "Triggers with the same key are one while it waits.",
      },
    },
    examples: [{ streams: ["public.orders"], key: "orders-changed" }],
  },
  Receipt: {
    ...object({
      queueId: text,
      result: {
        enum: ["queued", "coalesced", "known"],
        type: "string",
        description:
          "queued: new. coalesced: one that waits took it in. known: this very request is recorded already.",
      },
    }),
    examples: [{ queueId: "q-42", result: "queued" }],
  },
  Run: {
    ...object({
      runId: text,
      syncId: text,
      sync: maybeText,
      queueId: maybeText,
      mode: text,
      state: { ...text, enum: runStates },
      epoch: { ...whole, description: "Attempts so far." },
      startedAt: time,
      finishedAt: maybeTime,
      rows: { ...whole, description: "Rows that are durable." },
      error: wireError,
    }),
    examples: [
      {
        runId: "r-20261121-054406-3f9a",
        syncId: "8a51c2d00f3e7b19",
        sync: "shop",
        queueId: "q-42",
        mode: "full-refresh-overwrite",
        state: "succeeded",
        epoch: 1,
        startedAt: 1795239846000,
        finishedAt: 1795239849340,
        rows: 3000000,
        error: null,
      },
    ],
  },
  RunDetail: object({
    run: reference("Run"),
    live: {
      ...maybeFree,
      description: "As it was last told, while it is at work in this daemon.",
    },
    request: { ...maybeFree, description: "As recorded, without secrets." },
    snapshots: whole,
  }),
  Sync: {
    ...object({
      name: text,
      syncId: text,
      source: text,
      destination: text,
      mode: text,
      schedule: maybeText,
      nextRunAt: maybeTime,
      isPaused: { type: "boolean" },
      pause: {
        ...maybeFree,
        description:
          "Where nobody has ordered the pause: what the sync's tables have become, which somebody is to agree to by resuming it.",
      },
      queued: whole,
      running: listOf(text),
      lastRun: { anyOf: [reference("Run"), { type: "null" }] },
    }),
    examples: [
      {
        name: "shop",
        syncId: "8a51c2d00f3e7b19",
        source: "postgres://me@db.example:5432/shop",
        destination: "/data/shop",
        mode: "full-refresh-overwrite",
        schedule: "0 3 * * * Europe/Zurich",
        nextRunAt: 1795302000000,
        isPaused: false,
        pause: null,
        queued: 0,
        running: [],
        lastRun: null,
      },
    ],
  },
  QueueEntry: object({
    queueId: text,
    sync: text,
    key: maybeText,
    state: { ...text, enum: queueStates },
    origin: free,
    scope: free,
    queuedAt: time,
    dueAt: time,
    attempts: whole,
    runId: maybeText,
    daemon: maybeText,
    epoch: whole,
    error: wireError,
  }),
  Stream: object({
    number: whole,
    namespace: text,
    name: text,
    mode: text,
    state: text,
    generation: whole,
    planVersion: whole,
    rows: whole,
    checkpoints: whole,
    partitions: whole,
    partitionsDone: whole,
    error: wireError,
  }),
  Partition: object({
    stream: whole,
    partition: whole,
    relation: text,
    split: { ...free, description: "The range that it owns." },
    estimatedRows: { type: "number" },
    estimatedBytes: { type: "number" },
    rows: whole,
    checkpoints: whole,
    isDone: { type: "boolean" },
    position: {
      ...maybeFree,
      description: "Everything up to here is durable.",
    },
  }),
  StreamState: object({
    stream: whole,
    name: text,
    state: {
      ...maybeFree,
      description: "The last one that was released in this attempt.",
    },
  }),
  StreamPlan: object({
    stream: whole,
    name: text,
    rung: { ...text, enum: ["pages", "keyRanges", "whole", "log"] },
    reason: text,
    partitions: whole,
    estimatedRows: { type: "number" },
    estimatedBytes: { type: "number" },
  }),
  TimelineEvent: object({ at: time, kind: text, details: {} }),
  SyncTimelineEvent: object({
    at: time,
    kind: text,
    runId: { ...maybeText, description: "null: of the sync itself." },
    details: {},
  }),
  RunCounts: object({ ...counts, days: countedDays }),
  StreamCounts: object({
    stream: text,
    ...counts,
    lastRun: maybeText,
    lastState: maybeText,
  }),
  StreamRuns: object({
    stream: text,
    ...counts,
    days: countedDays,
    history: listOf(
      object({
        runId: text,
        runState: { ...text, enum: runStates },
        startedAt: time,
        finishedAt: maybeTime,
        generation: whole,
        state: text,
        rows: whole,
        bytes: whole,
        error: wireError,
      }),
    ),
    next: {
      ...maybeText,
      description: "`before` of the next page; null at the end.",
    },
  }),
  Accepted: {
    ...object({ accepted: { type: "boolean" } }),
    examples: [{ accepted: true }],
  },
  Daemon: object({
    id: { ...text, description: "Names this daemon in leases." },
    version: text,
    startedAt: time,
    isDraining: { type: "boolean" },
    triggers: listOf(
      object({
        kind: text,
        state: {
          ...text,
          description:
            "connecting, consuming, paused (the ledger or the dead-letter topic takes nothing), backingOff (the brokers are away), refused (another ledger is in the group), draining, stopped",
        },
        since: time,
        error: wireError,
        topic: text,
        group: text,
        partitions: listOf(whole),
        messages: {
          type: "object",
          additionalProperties: whole,
          description: "Since the start, by what became of them.",
        },
        results: {
          ...maybeFree,
          description: "Of the topic that results go to.",
        },
      }),
    ),
  }),
  Health: {
    type: "object",
    required: ["status"],
    properties: {
      status: { ...text, enum: ["ok", "draining", "failing"] },
      triggers: {
        ...listOf(object({ kind: text, state: text })),
        description: "Absent where no queue triggers runs.",
      },
    },
    examples: [{ status: "ok" }],
  },
};

export const idParameter: Schema = object({
  id: {
    ...text,
    minLength: 3,
    maxLength: ID_LENGTH_MAX,
    pattern: "^[rq]-[0-9a-f-]+$",
    description: "Id of a run (r-…) or of a queue entry (q-…).",
    examples: ["r-20261121-054406-3f9a"],
  },
});

export const syncParameter: Schema = object({
  name: {
    ...text,
    minLength: 1,
    maxLength: NAME_LENGTH_MAX,
    description: "Name in the configuration.",
    examples: ["shop"],
  },
});

export const streamParameters: Schema = object({
  name: { ...text, minLength: 1, maxLength: NAME_LENGTH_MAX },
  stream: {
    ...text,
    minLength: 1,
    maxLength: STREAM_LENGTH_MAX,
    description: "table or schema.table",
    examples: ["public.orders"],
  },
});

export const limitQuery: Schema = {
  type: "integer",
  minimum: 1,
  maximum: PAGE_MAX,
  default: 50,
};
