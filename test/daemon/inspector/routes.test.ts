import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startInspector, tokens, type InspectorServer } from "./server.ts";
import { readTrace, readTraceText } from "./traces.ts";

let server: InspectorServer;
beforeAll(async () => {
  server = await startInspector();
  server.feed.addLines("r-1", readTraceText());
  server.feed.end("r-1");
});
afterAll(() => server.close());

const page = fileURLToPath(
  new URL("../../../daemon/inspector/page/", import.meta.url),
);

function ask(
  path: string,
  token: string | null = tokens.viewer,
  body?: object,
): Promise<Response> {
  return fetch(server.url + path, {
    redirect: "manual",
    method: body === undefined ? "GET" : "POST",
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

describe("the page", () => {
  test.for([
    "/inspector/",
    "/inspector/page/main.js",
    "/inspector/page/base.css",
    "/inspector/model/run-model.ts",
  ])(
    "%s is there without a token, under a policy that allows no other host and no inline script",
    async (path) => {
      const response = await ask(path, null);
      expect(response.status).toBe(200);
      const policy = response.headers.get("content-security-policy") ?? "";
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("script-src 'self'");
      expect(policy).not.toMatch(/unsafe|\*|https?:/);
    },
  );

  test("the model comes as JavaScript, without types", async () => {
    const response = await ask("/inspector/model/names.ts", null);
    expect(response.headers.get("content-type")).toContain("text/javascript");
    expect(await response.text()).not.toContain(": string");
  });

  test("/ leads to it, and an asset that is known already is not sent again", async () => {
    expect((await ask("/", null)).headers.get("location")).toBe("/inspector/");
    const etag =
      (await ask("/inspector/page/main.js", null)).headers.get("etag") ?? "";
    const again = await fetch(`${server.url}/inspector/page/main.js`, {
      headers: { "if-none-match": etag },
    });
    expect(again.status).toBe(304);
  });

  test.for([
    "/inspector/page/tsconfig.json",
    "/inspector/page/..%2froutes.ts",
    "/inspector/model/nothing.ts",
  ])("%s is not served", async (path) =>
    expect((await ask(path, null)).status).toBe(404),
  );

  test("none of its files names another host", () => {
    for (const name of readdirSync(page)) {
      const text = readFileSync(join(page, name), "utf8").replaceAll(
        "http://www.w3.org/2000/svg",
        "",
      );
      expect(text, name).not.toMatch(/(https?:)?\/\/[a-z0-9-]+\.[a-z]/i);
    }
  });

  test("its scripts hold what their comments say of types", () => {
    const root = fileURLToPath(new URL("../../../", import.meta.url));
    execFileSync(
      join(root, "node_modules/.bin/tsc"),
      ["--noEmit", "-p", page],
      { stdio: "pipe" },
    );
  }, 60_000);
});

describe("who may what", () => {
  test.for([
    "session",
    "charts",
    "runs",
    "runs/r-1/window",
    "runs/r-1/records",
  ])("%s asks for a token", async (path) => {
    expect((await ask(`/inspector/api/${path}`, null)).status).toBe(401);
    expect((await ask(`/inspector/api/${path}`, "wrong")).status).toBe(401);
  });

  test("a viewer gives no orders", async () => {
    for (const [path, body] of [
      ["order", { order: "pause" }],
      [
        "actor-order",
        { order: "retry", process: "source", thread: 0, id: "x:1" },
      ],
    ] as const)
      expect(
        (await ask(`/inspector/api/runs/r-1/${path}`, tokens.viewer, body))
          .status,
      ).toBe(403);
    expect(server.orders).toEqual([]);
  });

  test("an operator's orders arrive as they were given, with who gave them", async () => {
    const api = "/inspector/api/runs/r-1";
    expect(
      (await ask(`${api}/order`, tokens.operator, { order: "pause" })).status,
    ).toBe(200);
    const actor = { process: "source", thread: 0, id: "x:1" };
    expect(
      (
        await ask(`${api}/actor-order`, tokens.operator, {
          order: "retry",
          ...actor,
        })
      ).status,
    ).toBe(200);
    expect(server.orders).toEqual([
      ["r-1", "pause", "the operator"],
      ["r-1", actor, "retry"],
    ]);
  });

  test.for([{}, { order: "explode" }, { order: "pause", more: 1 }])(
    "the order %j is refused",
    async (body) =>
      expect(
        (await ask("/inspector/api/runs/r-1/order", tokens.operator, body))
          .status,
      ).toBe(400),
  );
});

describe("what is told", () => {
  test("a run that nobody has recorded is named", async () => {
    for (const path of ["window", "records"]) {
      const response = await ask(`/inspector/api/runs/r-none/${path}`);
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({
        error: { code: "RUN_NOT_FOUND" },
      });
    }
  });

  test("records of a run come as events from the wanted one on, and then its end", async () => {
    const trace = readTrace();
    const after = trace.length - 25;
    const text = await (
      await ask(`/inspector/api/runs/r-1/records?after=${after}`)
    ).text();
    const [records = "", end = ""] = text.split("\n\n");
    expect(records).toContain(`data: {"first":${after},`);
    const data = JSON.parse(records.slice(records.indexOf("{"))) as {
      records: unknown[];
    };
    expect(data.records).toHaveLength(25);
    expect(end).toContain("event: end");
  });

  test("a live run's records come as they are made", async () => {
    const [first = "", second = ""] = readTraceText().split("\n");
    server.feed.addLines("r-live", `${first}\n`);
    const response = await (async () => {
      for (;;) {
        const answer = await ask("/inspector/api/runs/r-live/records");
        if (answer.status === 200) return answer;
      }
    })();
    const reader = response.body
      ?.pipeThrough(new TextDecoderStream())
      .getReader();
    let text = "";
    const until = async (wanted: string) => {
      while (!text.includes(wanted)) {
        const { done, value } = (await reader?.read()) ?? {
          done: true,
          value: undefined,
        };
        if (done) throw new Error(`ended before ${wanted}: ${text}`);
        text += value;
      }
    };
    await until('"first":0');
    server.feed.addLines("r-live", `${second}\n`);
    await until('"first":1');
    server.feed.end("r-live");
    await until("event: end");
  });
});
