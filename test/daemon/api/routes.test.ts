import { expect } from "vitest";
import type { TriggerHealth } from "../../../daemon/triggers/trigger-health.ts";
import { ask, ROWS, SYNC, test } from "./support.ts";

test("a run of the ledger is told with everything that belongs to it", async ({
  scene,
}) => {
  const { url } = await scene.start();
  const get = async (path: string) => {
    const answer = await ask(url, "GET", `/api/v1${path}`);
    expect(answer.status, answer.text).toBe(200);
    return answer.json as Record<string, unknown>;
  };
  const { runId } = scene;

  expect(await get("/runs")).toMatchObject({
    runs: [{ runId, sync: SYNC, state: "succeeded", rows: ROWS, error: null }],
    next: null,
  });
  expect(await get(`/runs/${runId}`)).toMatchObject({
    run: { runId, rows: ROWS },
    live: null,
    request: { name: SYNC, mode: "full-refresh-overwrite" },
  });
  const { streams } = await get(`/runs/${runId}/streams`);
  expect(streams).toEqual([
    expect.objectContaining({ state: "committed", rows: ROWS, error: null }),
  ]);
  const { partitions, total } = await get(`/runs/${runId}/partitions`);
  expect(partitions).toHaveLength(Number(total));
  expect(partitions).toEqual(
    (partitions as unknown[]).map(() =>
      expect.objectContaining({ isDone: true }),
    ),
  );
  expect((await get(`/runs/${runId}/states`))["states"]).toEqual([
    expect.objectContaining({
      state: expect.objectContaining({ rows: ROWS }),
    }),
  ]);
  expect((await get(`/runs/${runId}/plan`))["plan"]).toEqual([
    expect.objectContaining({ partitions: total }),
  ]);
  expect(await get(`/runs/${runId}/timeline`)).toHaveProperty("events");
  expect(await get("/syncs")).toMatchObject({
    syncs: [{ name: SYNC, lastRun: { runId, rows: ROWS } }],
  });
  expect(await get(`/syncs/${SYNC}`)).toMatchObject({ name: SYNC });
});

test("runs come in pages, and only those that are asked for", async ({
  scene,
}) => {
  const { url } = await scene.start();
  const { ledger, runId } = scene;
  const { syncId } = ledger.findRun(runId);
  const owner = { pid: 1, pidStartTime: null, runDir: "/" };
  const newer = [1, 2, 3].map(
    () =>
      ledger.beginRun({ syncId, mode: "m", requestJson: "{}", ...owner }).runId,
  );
  const list = async (query: string) => {
    const { json } = await ask(url, "GET", `/api/v1/runs?${query}`);
    const { runs, next } = json as unknown as {
      runs: { runId: string }[];
      next: string | null;
    };
    return { ids: runs.map((run) => run.runId), next };
  };

  const first = await list("limit=2");
  expect(first).toEqual({ ids: [newer[2], newer[1]], next: newer[1] });
  expect(await list(`limit=2&before=${first.next}`)).toEqual({
    ids: [newer[0], runId],
    next: null,
  });
  expect((await list("state=succeeded,failed")).ids).toEqual([runId]);
  expect((await list("state=running")).ids).toEqual([newer[2]]);
  expect((await list(`sync=${SYNC}&limit=1`)).ids).toEqual([newer[2]]);
  expect((await list("sync=other")).ids).toEqual([]);
});

test("a trigger is in the ledger when it is answered", async ({ scene }) => {
  const { url } = await scene.start();
  const scope = {
    streams: ["public.orders"],
    ranges: [{ stream: "orders", column: "id", from: "5" }],
    window: { to: "9" },
  };
  const { status, json } = await ask(
    url,
    "POST",
    `/api/v1/syncs/${SYNC}/runs`,
    {
      body: { ...scope, key: "one" },
    },
  );
  expect(status).toBe(202);
  const { queueId, result } = json as unknown as Record<string, string>;
  expect(result).toBe("queued");
  const entry = scene.ledger.queuedOf(String(queueId));
  expect(entry).toMatchObject({ sync: SYNC, key: "one", state: "queued" });
  expect(JSON.parse(entry.scopeJson)).toEqual({
    streams: ["public.orders"],
    ranges: [{ stream: "orders", column: "id", from: "5", until: null }],
    window: { from: null, to: "9" },
  });
  expect(JSON.parse(entry.originJson)).toEqual({
    kind: "api",
    caller: "the admin",
  });
  expect(
    (await ask(url, "GET", `/api/v1/queue/${queueId}`)).json,
  ).toMatchObject({ queueId, sync: SYNC, scope: { window: { to: "9" } } });
  const queue = await ask(
    url,
    "GET",
    "/api/v1/queue?state=queued&sync=numbers",
  );
  expect(queue.json["queue"]).toContainEqual(
    expect.objectContaining({ queueId }),
  );
});

test("the same Idempotency-Key starts one run, and never another request's", async ({
  scene,
}) => {
  const { url } = await scene.start();
  const post = (body: unknown) =>
    ask(url, "POST", `/api/v1/syncs/${SYNC}/runs`, {
      body,
      headers: { "idempotency-key": "i-1" },
    });
  const before = scene.ledger.countQueue(SYNC).queued;
  const first = await post({ streams: ["a"] });
  expect(first.json).toMatchObject({ result: "queued" });
  const again = await post({ streams: ["a"] });
  expect(again.json).toEqual({
    queueId: first.json["queueId"],
    result: "known",
  });
  const other = await post({ streams: ["b"] });
  expect(other.status).toBe(422);
  expect(other.json).toMatchObject({ error: { code: "IDEMPOTENCY_CONFLICT" } });
  expect(scene.ledger.countQueue(SYNC).queued).toBe(before + 1);
});

test("orders reach the daemon with the name of who gave them", async ({
  scene,
}) => {
  const { url } = await scene.start();
  const { runId, service } = scene;
  for (const order of ["cancel", "pause", "resume", "retry", "replay"]) {
    const { status } = await ask(url, "POST", `/api/v1/runs/${runId}/${order}`);
    expect(status).toBe(202);
  }
  const stream = "streams/public.orders";
  for (const path of [
    "pause",
    "resume",
    `${stream}/reset`,
    `${stream}/backfill`,
  ]) {
    const { status } = await ask(url, "POST", `/api/v1/syncs/${SYNC}/${path}`);
    expect(status).toBe(202);
  }
  const caller = "the admin";
  expect(service.orders).toEqual([
    ...["cancel", "pause", "resume", "retry", "replay"].map((order) => ({
      order,
      given: { run: runId, caller },
    })),
    { order: "pauseSync", given: SYNC },
    { order: "resumeSync", given: SYNC },
    { order: "resetStream", given: { sync: SYNC, stream: "public.orders" } },
    {
      order: "backfillStream",
      given: { sync: SYNC, stream: "public.orders", caller },
    },
  ]);
});

test("health says what a supervisor has to know", async ({ scene }) => {
  const { url } = await scene.start();
  const health = (path: string) =>
    ask(url, "GET", `/health/${path}`, { token: null });
  expect((await health("live")).json).toEqual({ status: "ok" });
  expect((await health("ready")).json).toEqual({ status: "ok" });
  scene.service.isDraining = true;
  const draining = await health("ready");
  expect([draining.status, draining.json]).toEqual([
    503,
    { status: "draining" },
  ]);
  scene.service.isDraining = false;
  scene.ledger.close();
  const failing = await health("ready");
  expect([failing.status, failing.json]).toEqual([503, { status: "failing" }]);
  expect((await health("live")).status).toBe(200);
});

test("triggers from queues are told with their state; brokers that are away make nothing unready", async ({
  scene,
}) => {
  const trigger: TriggerHealth = {
    kind: "kafka",
    state: "backingOff",
    since: 1_795_239_846_000,
    error: { code: "KAFKA_UNREACHABLE", message: "no broker", details: {} },
    topic: "triggers",
    group: "millrace",
    partitions: [0, 2],
    messages: { queued: 3, coalesced: 2, known: 1, deadLettered: 4 },
    results: null,
  };
  const { url } = await scene.start({ triggers: () => [trigger] });
  const ready = await ask(url, "GET", "/health/ready", { token: null });
  // without a token no more than that
  expect([ready.status, ready.json]).toEqual([
    200,
    { status: "ok", triggers: [{ kind: "kafka", state: "backingOff" }] },
  ]);
  const { json } = await ask(url, "GET", "/api/v1/daemon");
  expect(json).toEqual({
    id: scene.service.id,
    version: "0.0.0",
    startedAt: scene.service.startedAt,
    isDraining: false,
    triggers: [trigger],
  });
  const { text } = await ask(url, "GET", "/metrics");
  for (const line of [
    'millrace_trigger_state{kind="kafka",topic="triggers",state="backingOff"} 1',
    'millrace_trigger_state{kind="kafka",topic="triggers",state="consuming"} 0',
    'millrace_trigger_messages{kind="kafka",topic="triggers",result="deadLettered"} 4',
  ])
    expect(text).toContain(line);
});
