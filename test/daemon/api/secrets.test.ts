import { expect, test as plain } from "vitest";
import { createDaemonLog, logEvents } from "../../../daemon/api/log.ts";
import { SecretCover } from "../../../daemon/api/secrets.ts";
import { ExtractError } from "../../../proto/error.ts";
import { ask, SYNC, test, tokens } from "./support.ts";

const password = "p@ss w0rd/with&signs";
const salt = "a-salt-that-nobody-knows";
const secrets = [password, salt, ...Object.values(tokens)];

/** As it is, in a URL, and in JSON. */
const spellings = secrets.flatMap((secret) => [
  secret,
  encodeURIComponent(secret),
  JSON.stringify(secret).slice(1, -1),
]);

test("no answer of any route and no line of the log holds a secret, wherever it came from", async ({
  scene,
}) => {
  const { service, ledger, logged } = scene;
  const cover = new SecretCover(() => secrets);
  const { url } = await scene.start({ cover });
  const log = createDaemonLog(cover, "debug", {
    write: (line: string) => void logged.push(line),
  });
  const stop = logEvents(service, log);

  // a ledger, a source's own words and a trigger, each with secrets in it
  const source = `postgres://me:${encodeURIComponent(password)}@db/shop?password=${encodeURIComponent(password)}`;
  const owner = { pid: 1, pidStartTime: null, runDir: "/" };
  const { runId, epoch } = ledger.beginRun({
    syncId: ledger.findRun(scene.runId).syncId,
    mode: "full-refresh-overwrite",
    requestJson: JSON.stringify({
      name: SYNC,
      source: { url: source },
      where: `note = '${password}'`,
      mappers: [{ steps: [{ hash: "name", salt }] }],
    }),
    ...owner,
  });
  const error = {
    code: "SOURCE_AUTH_FAILED" as const,
    message: `FATAL: password ${password} for ${source} is wrong`,
    details: { url: source, token: tokens.viewer },
  };
  ledger.finishRun(runId, epoch, "failed", error);
  ledger.recordEvent(runId, "attempt.failed", JSON.stringify(error));
  service.syncs = service.syncs.map((sync) => ({
    ...sync,
    source,
    lastRun: ledger.findRun(runId),
  }));
  const scope = {
    streams: [salt],
    ranges: null,
    window: { from: null, to: password },
  };
  const { queueId } = service.trigger({
    sync: SYNC,
    scope,
    key: tokens.operator,
    origin: { kind: "api", caller: "me" },
  });
  service.tell({
    type: "run.event",
    queueId,
    runId,
    sync: SYNC,
    event: { type: "warning", message: error.message },
  });
  service.tell({
    type: "config.reloaded",
    changes: [`syncs.shop.source.url is ${source}`],
  });

  const document = (await ask(url, "GET", "/api/openapi.json"))
    .json as unknown as {
    paths: Record<string, Record<string, unknown>>;
  };
  const said: string[] = [];
  let answers = 0;
  for (const [path, methods] of Object.entries(document.paths))
    for (const method of Object.keys(methods)) {
      if (path.endsWith("/events")) continue;
      const real = path
        .replace("/queue/{id}", `/queue/${queueId}`)
        .replace("{id}", runId)
        .replace("{name}", SYNC)
        .replace("{stream}", encodeURIComponent(salt));
      for (const fault of [
        null,
        new ExtractError(error.code, error.message, error.details),
        new Error(error.message),
      ]) {
        service.fault = method === "post" ? fault : null;
        const { text, headers } = await ask(url, method.toUpperCase(), real, {
          ...(real.endsWith("/runs") && method === "post"
            ? { body: scope }
            : {}),
        });
        said.push(text, JSON.stringify(headers));
        answers += 1;
      }
    }
  // faults of the caller quote what was sent
  for (const token of Object.values(tokens)) {
    said.push((await ask(url, "GET", `/api/v1/syncs/${token}`)).text);
    said.push((await ask(url, "GET", `/api/v1/runs?state=${token}`)).text);
    said.push((await ask(url, "PUT", `/api/v1/runs/${token}`)).text);
  }
  service.fault = null;
  const { response, text } = await readEvents(url);
  expect(response).toBe(200);
  expect(text).toContain("config.reloaded");
  said.push(text);
  stop();

  expect(answers).toBe(90);
  expect(said.join("").length).toBeGreaterThan(10_000);
  expect(logged.join("")).toContain("is wrong");
  for (const spelling of spellings) {
    expect(said.filter((one) => one.includes(spelling))).toEqual([]);
    expect(logged.filter((one) => one.includes(spelling))).toEqual([]);
  }
  for (const line of logged) expect(() => JSON.parse(line)).not.toThrow();
});

/** What the ring holds, as somebody gets it who comes back from another daemon. */
async function readEvents(url: string) {
  const stop = new AbortController();
  const response = await fetch(`${url}/api/v1/events`, {
    signal: stop.signal,
    headers: {
      authorization: `Bearer ${tokens.viewer}`,
      "last-event-id": "d-other:1",
    },
  });
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of response.body ?? []) {
    text += decoder.decode(part as Uint8Array, { stream: true });
    if (text.includes("config.reloaded")) break;
  }
  stop.abort();
  return { response: response.status, text };
}

plain.for([
  {
    name: "a URL's password",
    text: "postgres://me:hidden!@db/x",
    covered: "postgres://me:***@db/x",
  },
  {
    name: "a known value",
    text: "salt is s3cret-salt.",
    covered: "salt is ***.",
  },
  {
    name: "a known value, percent-encoded",
    text: "?k=a%20b%2Fc%2Bd",
    covered: "?k=***",
  },
  {
    name: "a value that begins as another",
    text: "s3cret-salt-2",
    covered: "***",
  },
  {
    name: "plain words",
    text: "table orders has 5 rows",
    covered: "table orders has 5 rows",
  },
])("$name is covered, and no more", ({ text, covered }) => {
  const cover = new SecretCover(() => [
    "s3cret-salt",
    "a b/c+d",
    "s3cret-salt-2",
    "or",
  ]);
  expect(cover.coverText(text)).toBe(covered);
  expect(cover.coverValue({ a: [text], password: "whatever" })).toEqual({
    a: [covered],
    password: "***",
  });
});

plain(
  "log lines name sync, queue entry, run, stream and partition where they are known",
  () => {
    const lines: string[] = [];
    const log = createDaemonLog(new SecretCover(() => []), "info", {
      write: (line: string) => void lines.push(line),
    });
    let tell: Parameters<
      Parameters<typeof logEvents>[0]["subscribe"]
    >[0] = () => {};
    logEvents({ subscribe: (listener) => ((tell = listener), () => {}) }, log);
    const event = {
      sequence: 1,
      at: 0,
      type: "run.event",
      queueId: "q-1",
      runId: "r-1",
      sync: "shop",
    } as const;
    tell({
      ...event,
      event: {
        type: "warning",
        message: "partition 3/7 is read again after attempt 1: gone",
      },
    });
    const stream = { number: 3, namespace: "public", name: "orders" };
    tell({
      ...event,
      event: {
        type: "stream.planned",
        stream,
        rung: "pages",
        reason: "why",
        partitions: 4,
        rowsEstimated: 1,
        bytesEstimated: 1,
      },
    });
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({
        level: "warn",
        queueId: "q-1",
        run: "r-1",
        sync: "shop",
        stream: 3,
        partition: 7,
      }),
      expect.objectContaining({
        level: "info",
        queueId: "q-1",
        run: "r-1",
        sync: "shop",
        stream: 3,
        table: "public.orders",
      }),
    ]);
  },
);

plain.for([
  { name: "letters", text: "x".repeat(1_000_000) },
  { name: "beginnings of URLs", text: "a://b:".repeat(200_000) },
  { name: "names of passwords", text: "password ".repeat(100_000) },
])(
  "a million $name are looked through before anybody waits for them",
  ({ text }) => {
    expect(new SecretCover(() => ["secret"]).coverText(text)).toBe(text);
  },
);
