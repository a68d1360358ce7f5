import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { expect, onTestFinished, test } from "vitest";
import {
  readAfterRun,
  afterRunSchema,
} from "../../../daemon/after-run/config.ts";
import {
  callHook,
  isDue,
  type HookPayload,
} from "../../../daemon/after-run/hook.ts";

const payload: HookPayload = {
  sync: "shop",
  runId: "r-1",
  state: "succeeded",
  rows: 7,
  streams: [],
  streamsLeftOut: 0,
  elapsedMs: 12,
  error: null,
};
const never = new AbortController().signal;

const hook = (settings: object) =>
  readAfterRun(afterRunSchema.parse(settings), tmpdir());

/** A hook that is a program of Node's. */
const program = (code: string, more: object = {}) =>
  hook({ command: [process.execPath, "-e", code], ...more });

async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
}

test("a command reads the run on its input, and finds its name in the environment", async () => {
  const outcome = await callHook(
    program(`
      let text = "";
      process.stdin.on("data", (chunk) => (text += chunk)).on("end", () => {
        const { MILLRACE_SYNC, MILLRACE_RUN_ID, MILLRACE_STATE } = process.env;
        console.log(MILLRACE_SYNC, MILLRACE_RUN_ID, MILLRACE_STATE, JSON.parse(text).rows);
      });`),
    payload,
    never,
  );
  expect(outcome).toMatchObject({
    succeeded: true,
    result: "exit code 0",
    answer: "shop r-1 succeeded 7\n",
  });
});

test("a command that fails, is not there, or says too much: the end of its words is kept", async () => {
  const failed = await callHook(
    program("console.error('x'.repeat(100_000) + ' the end'); process.exit(3)"),
    payload,
    never,
  );
  expect(failed).toMatchObject({ succeeded: false, result: "exit code 3" });
  expect(failed.answer).toMatch(/^x{4000,} the end\n$/);
  expect(failed.answer.length).toBeLessThanOrEqual(4096);
  const absent = await callHook(
    hook({ command: ["/no/such/program"] }),
    payload,
    never,
  );
  expect(absent.succeeded).toBe(false);
  expect(absent.result).toMatch(/ENOENT/);
});

test("a command that takes too long is ended, and says so", async () => {
  const outcome = await callHook(
    program("setInterval(() => {}, 1000)", { timeout: "1s" }),
    payload,
    never,
  );
  expect(outcome.succeeded).toBe(false);
  expect(outcome.result).toMatch(/SIGTERM.*too long/);
});

test("a URL is sent the run, with the headers of the configuration", async () => {
  const heard: unknown[] = [];
  const url = await serve((request, response) => {
    let text = "";
    request
      .on("data", (chunk: Buffer) => (text += chunk.toString()))
      .on("end", () => {
        heard.push([
          request.method,
          request.headers["authorization"],
          JSON.parse(text),
        ]);
        response.writeHead(204).end();
      });
  });
  const outcome = await callHook(
    hook({ url, headers: { Authorization: "Bearer t" } }),
    payload,
    never,
  );
  expect(outcome).toMatchObject({ succeeded: true, result: "HTTP 204" });
  expect(heard).toEqual([["POST", "Bearer t", payload]]);
});

test("a URL is sent the body of the configuration, with the run where it is wanted", async () => {
  const bodies: unknown[] = [];
  const url = await serve((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => (text += chunk.toString()));
    request.on("end", () => {
      bodies.push(JSON.parse(text));
      response.end();
    });
  });
  const body = { logical_date: null, conf: "{run}", note: ["no {run}", 1] };
  const odd = { ...payload, sync: "{run}" };
  const outcome = await callHook(hook({ url, body }), odd, never);
  expect(outcome).toMatchObject({ succeeded: true });
  expect(bodies).toEqual([{ ...body, conf: odd }]);
  expect(
    afterRunSchema.safeParse({ command: ["true"], body }).error?.issues,
  ).toMatchObject([{ message: "has a body, which only a url is sent" }]);
});

test("a server's fault is tried again, a refusal is not, and nobody is followed elsewhere", async () => {
  let calls = 0;
  const flaky = await serve((request, response) => {
    request.resume();
    response.writeHead(calls++ === 0 ? 503 : 200).end("done");
  });
  expect(await callHook(hook({ url: flaky }), payload, never)).toMatchObject({
    succeeded: true,
    answer: "done",
  });
  expect(calls).toBe(2);

  let refusals = 0;
  const refusing = await serve((request, response) => {
    request.resume();
    refusals++;
    response.writeHead(401).end("who?");
  });
  const refused = await callHook(hook({ url: refusing }), payload, never);
  expect(refused).toMatchObject({ succeeded: false, result: "HTTP 401" });
  expect(refusals).toBe(1);

  const moved = await serve((request, response) => {
    request.resume();
    response.writeHead(307, { location: flaky }).end();
  });
  expect(await callHook(hook({ url: moved }), payload, never)).toMatchObject({
    succeeded: false,
    result: "HTTP 307",
  });
  expect(calls).toBe(2);
});

test("a hook is either a command or a URL", () => {
  expect(afterRunSchema.safeParse({}).success).toBe(false);
  expect(
    afterRunSchema.safeParse({ command: ["a"], url: "http://a/" }).success,
  ).toBe(false);
  expect(afterRunSchema.safeParse({ url: "file:///etc" }).success).toBe(false);
});

test.for([
  {
    on: "success",
    succeeded: true,
    partlyFailed: false,
    failed: false,
    cancelled: false,
  },
  {
    on: "failure",
    succeeded: false,
    partlyFailed: true,
    failed: true,
    cancelled: false,
  },
  {
    on: "always",
    succeeded: true,
    partlyFailed: true,
    failed: true,
    cancelled: true,
  },
] as const)("what is due after $on", ({ on, ...states }) => {
  for (const [state, due] of Object.entries(states))
    expect(isDue({ on }, state as HookPayload["state"]), state).toBe(due);
});
