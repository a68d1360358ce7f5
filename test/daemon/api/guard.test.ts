import { chmodSync, existsSync, readFileSync, statSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { expect } from "vitest";
import { FAILURES_MAX, FailureCount } from "../../../daemon/api/guard.ts";
import { drawToken, readDaemonFile } from "../../../daemon/api/tokens.ts";
import { ExtractError } from "../../../proto/error.ts";
import { refused } from "./recording-service.ts";
import { ask, SYNC, test, tokens, type Ask } from "./support.ts";

function fault(code: string) {
  return {
    error: {
      code,
      message: expect.any(String),
      help: expect.any(String),
      details: expect.any(Object),
    },
  };
}

test.for([
  { token: null, status: 401, code: "UNAUTHENTICATED" },
  { token: "wrong-token-0123456789", status: 401, code: "UNAUTHENTICATED" },
  { token: `${tokens.viewer}x`, status: 401, code: "UNAUTHENTICATED" },
  { token: tokens.viewer, status: 403, code: "FORBIDDEN" },
  { token: tokens.operator, status: 202, code: null },
  { token: tokens.admin, status: 202, code: null },
])(
  "pausing a sync with $token is answered with $status",
  async ({ token, status, code }, { scene }) => {
    const { url } = await scene.start();
    const path = `/api/v1/syncs/${SYNC}/pause`;
    const answer = await ask(url, "POST", path, { token });
    expect(answer.status).toBe(status);
    if (code !== null) expect(answer.json).toEqual(fault(code));
    expect(scene.service.orders).toHaveLength(code === null ? 1 : 0);
  },
);

test("only an admin resets a stream", async ({ scene }) => {
  const { url } = await scene.start();
  const path = `/api/v1/syncs/${SYNC}/streams/orders/reset`;
  const statuses = [];
  for (const token of Object.values(tokens))
    statuses.push((await ask(url, "POST", path, { token })).status);
  expect(statuses).toEqual([403, 403, 202]);
});

test("a page of another site cannot reach the daemon under its own name", async ({
  scene,
}) => {
  const { url } = await scene.start();
  const get = (host: string) =>
    ask(url, "GET", "/health/live", { headers: { host } });
  expect((await get("evil.example:7420")).json).toEqual(fault("HOST_REFUSED"));
  expect((await get("127.0.0.1.evil.example")).status).toBe(421);
  expect((await get("localhost:7420")).status).toBe(200);
  expect((await get("[::1]:7420")).status).toBe(200);
});

test.for<{
  name: string;
  method: string;
  path: string;
  ask?: Ask;
  status: number;
  code: string;
}>([
  {
    name: "an unknown path",
    method: "GET",
    path: "/nowhere",
    status: 404,
    code: "NOT_FOUND",
  },
  {
    name: "an unknown run",
    method: "GET",
    path: "/api/v1/runs/r-20200101-000000-0000",
    status: 404,
    code: "RUN_NOT_FOUND",
  },
  {
    name: "an unknown queue entry",
    method: "GET",
    path: "/api/v1/queue/q-99999",
    status: 404,
    code: "RUN_NOT_FOUND",
  },
  {
    name: "an unknown sync",
    method: "GET",
    path: "/api/v1/syncs/nothing",
    status: 404,
    code: "SYNC_NOT_FOUND",
  },
  {
    name: "an order to an unknown run",
    method: "POST",
    path: "/api/v1/runs/r-0/cancel",
    status: 404,
    code: "RUN_NOT_FOUND",
  },
  {
    name: "an id that is none",
    method: "GET",
    path: "/api/v1/runs/%27%20OR%201=1",
    status: 400,
    code: "REQUEST_INVALID",
  },
  {
    name: "an id that is too long",
    method: "GET",
    path: `/api/v1/runs/r-${"0".repeat(5000)}`,
    status: 404,
    code: "NOT_FOUND",
  },
  {
    name: "a path that is no text",
    method: "GET",
    path: "/api/v1/runs/%E0%A4%A",
    status: 404,
    code: "NOT_FOUND",
  },
  {
    name: "a wrong method",
    method: "DELETE",
    path: "/api/v1/runs",
    status: 405,
    code: "METHOD_NOT_ALLOWED",
  },
  {
    name: "a page size of null",
    method: "GET",
    path: "/api/v1/runs?limit=0",
    status: 400,
    code: "REQUEST_INVALID",
  },
  {
    name: "a page size that is too large",
    method: "GET",
    path: "/api/v1/runs?limit=1001",
    status: 400,
    code: "REQUEST_INVALID",
  },
  {
    name: "a parameter that is not known",
    method: "GET",
    path: "/api/v1/runs?limits=1",
    status: 400,
    code: "REQUEST_INVALID",
  },
  {
    name: "a state that is none",
    method: "GET",
    path: "/api/v1/runs?state=done",
    status: 400,
    code: "REQUEST_INVALID",
  },
  {
    name: "JSON that is none",
    method: "POST",
    path: `/api/v1/syncs/${SYNC}/runs`,
    ask: { raw: '{"key": ' },
    status: 400,
    code: "REQUEST_INVALID",
  },
  {
    name: "a number as a key",
    method: "POST",
    path: `/api/v1/syncs/${SYNC}/runs`,
    ask: { body: { key: 5 } },
    status: 400,
    code: "REQUEST_INVALID",
  },
  {
    name: "a misspelt member",
    method: "POST",
    path: `/api/v1/syncs/${SYNC}/runs`,
    ask: { body: { stream: ["a"] } },
    status: 400,
    code: "REQUEST_INVALID",
  },
  {
    name: "an array in place of an object",
    method: "POST",
    path: `/api/v1/syncs/${SYNC}/runs`,
    ask: { body: [] },
    status: 400,
    code: "REQUEST_INVALID",
  },
  {
    name: "another type than JSON",
    method: "POST",
    path: `/api/v1/syncs/${SYNC}/runs`,
    ask: { raw: "<a/>", headers: { "content-type": "text/xml" } },
    status: 415,
    code: "MEDIA_TYPE_UNSUPPORTED",
  },
  {
    name: "a body that is too large",
    method: "POST",
    path: `/api/v1/syncs/${SYNC}/runs`,
    ask: { body: { key: "x".repeat(2 * 1024 * 1024) } },
    status: 413,
    code: "BODY_TOO_LARGE",
  },
])(
  "$name is refused in the shape of all faults",
  async ({ method, path, ask: given, status, code }, { scene }) => {
    const { url } = await scene.start();
    const answer = await ask(url, method, path, given);
    expect(answer.json).toEqual(fault(code));
    expect(answer.status).toBe(status);
    if (status === 405) expect(answer.headers["allow"]).toBe("GET, HEAD");
  },
);

test("the daemon's refusals keep their code, and its own faults say nothing", async ({
  scene,
}) => {
  const { url } = await scene.start();
  const pause = () => ask(url, "POST", `/api/v1/runs/${scene.runId}/pause`);
  scene.service.fault = refused;
  const conflict = await pause();
  expect([conflict.status, conflict.json]).toEqual([409, fault("RUN_STATE")]);
  scene.service.fault = new ExtractError("LEDGER_FULL", "too many wait");
  expect((await pause()).status).toBe(507);
  scene.service.fault = new Error("at /home/me: the inner workings");
  const ours = await pause();
  expect([ours.status, ours.json]).toEqual([500, fault("INTERNAL")]);
  expect(ours.text).not.toContain("inner workings");
  expect(scene.logged.join("")).toContain("the inner workings");
});

test("guessing tokens is answered without a look after a while, and fills no log", async ({
  scene,
}) => {
  const { url } = await scene.start();
  const statuses = [];
  for (let i = 0; i < FAILURES_MAX + 5; i++)
    statuses.push(
      (
        await ask(url, "GET", "/api/v1/runs", {
          token: `guess-${i}-0123456789`,
        })
      ).status,
    );
  expect(statuses.filter((status) => status === 401)).toHaveLength(
    FAILURES_MAX,
  );
  expect(statuses.slice(FAILURES_MAX)).toEqual([429, 429, 429, 429, 429]);
  expect((await ask(url, "GET", "/api/v1/runs")).status).toBe(200);
  const lines = scene.logged.filter((line) => line.includes("valid token"));
  expect(lines).toHaveLength(2);
});

test("failures are counted for a minute, and for a bounded number of addresses", () => {
  let now = 0;
  const count = new FailureCount(() => now);
  expect([count.add("a"), count.add("a"), count.add("b")]).toEqual([1, 2, 1]);
  now = 59_999;
  expect(count.add("a")).toBe(3);
  now = 60_000;
  expect(count.add("a")).toBe(1);
  for (let i = 0; i < 2000; i++) count.add(`c${i}`);
  expect(count.add("a")).toBe(1);
});

test("without configured tokens one is drawn, for this user's eyes only", async ({
  scene,
}) => {
  const tokenFile = join(scene.folder, "drawn", "daemon.json");
  const api = await scene.start({ tokens: [], tokenFile });
  expect(statSync(tokenFile).mode & 0o777).toBe(0o600);
  const file = readDaemonFile(tokenFile);
  expect(file?.url).toBe(api.url);
  const token = file?.token ?? null;
  expect((await ask(api.url, "GET", "/api/v1/runs", { token })).status).toBe(
    200,
  );
  expect(scene.logged.join("")).not.toContain(token);

  expect(drawToken(tokenFile)).toBe(token);
  chmodSync(tokenFile, 0o644);
  expect(readDaemonFile(tokenFile)).toBeNull();
  expect(drawToken(tokenFile)).not.toBe(token);
});

test("beyond this machine the API listens only with tokens, and says that it speaks no TLS", async ({
  scene,
}) => {
  const listen = { host: "0.0.0.0", port: 0 };
  const tokenFile = join(scene.folder, "never.json");
  await expect(scene.start({ listen, tokens: [], tokenFile })).rejects.toThrow(
    "0.0.0.0 is reachable from other machines, and no tokens are configured",
  );
  expect(existsSync(tokenFile)).toBe(false);
  await scene.start({ listen });
  expect(scene.logged.join("")).toContain("speaks no TLS");
});

test("an address that is taken is named", async ({ scene }) => {
  const { url } = await scene.start();
  const port = Number(new URL(url).port);
  await expect(
    scene.start({ listen: { host: "127.0.0.1", port } }),
  ).rejects.toMatchObject({
    code: "API_UNAVAILABLE",
    message: `127.0.0.1:${port} is taken`,
  });
});

test("bytes that are no HTTP are answered as a fault, and the server goes on", async ({
  scene,
}) => {
  const { url } = await scene.start();
  const text = await new Promise<string>((resolve, reject) => {
    const socket = createConnection(Number(new URL(url).port), "127.0.0.1");
    let received = "";
    socket.on("data", (part) => (received += part.toString()));
    socket.on("close", () => resolve(received));
    socket.on("error", reject);
    socket.write("\x16\x03\x01 no http\r\n\r\n");
  });
  expect(text).toContain("REQUEST_INVALID");
  expect((await ask(url, "GET", "/health/live")).status).toBe(200);
});

test("whatever a trigger's body holds, it is refused whole or recorded as it is", async ({
  scene,
}) => {
  const { url } = await scene.start();
  const path = `/api/v1/syncs/${SYNC}/runs`;
  const name = fc.string({ maxLength: 20 });
  const bound = fc.option(fc.string({ maxLength: 20 }), { nil: null });
  const likely = fc.record(
    {
      streams: fc.option(fc.array(name, { maxLength: 3 }), { nil: null }),
      ranges: fc.array(
        fc.record({ stream: name, column: name, from: bound, until: bound }),
        { maxLength: 2 },
      ),
      window: fc.option(fc.record({ from: bound, to: bound }), { nil: null }),
      key: bound,
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(fc.oneof(likely, fc.jsonValue()), async (body) => {
      const answer = await ask(url, "POST", path, { body });
      const { json, status } = answer;
      if (status === 202) {
        const queueId = String(json["queueId"]);
        const { scopeJson } = scene.ledger.queuedOf(queueId);
        const given = (body ?? {}) as Record<string, unknown>;
        expect(JSON.parse(scopeJson)["streams"]).toEqual(
          given["streams"] ?? null,
        );
      } else {
        expect([400, 422]).toContain(status);
        expect(json).toHaveProperty("error.code");
      }
    }),
    { numRuns: 150 },
  );
  const raw = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  );
  await fc.assert(
    fc.asyncProperty(raw, async (bytes) => {
      const { status } = await ask(url, "POST", path, { raw: bytes });
      expect([202, 400, 413, 415, 422]).toContain(status);
    }),
    { numRuns: 50 },
  );
  expect(
    readFileSync(join(scene.folder, "ledger.sqlite")).length,
  ).toBeGreaterThan(0);
});
