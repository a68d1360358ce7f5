import { request, type IncomingMessage } from "node:http";
import { createConnection, type Socket } from "node:net";
import { expect } from "vitest";
import {
  EventRing,
  EVENTS_KEPT_MAX,
  LISTENERS_MAX,
} from "../../../daemon/api/event-ring.ts";
import { SYNC, test, tokens, until } from "./support.ts";

interface Stream {
  readonly response: IncomingMessage;
  text: string;
  close(): void;
}

function open(
  url: string,
  query = "",
  headers: Readonly<Record<string, string>> = {},
): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const sent = request(
      `${url}/api/v1/events${query}`,
      {
        agent: false,
        headers: { authorization: `Bearer ${tokens.viewer}`, ...headers },
      },
      (response) => {
        const stream: Stream = {
          response,
          text: "",
          close: () => sent.destroy(),
        };
        response.setEncoding("utf8");
        response.on("data", (part: string) => (stream.text += part));
        response.on("error", () => {});
        resolve(stream);
      },
    );
    sent.on("error", reject);
    sent.end();
  });
}

function idsOf({ text }: Stream): number[] {
  return [...text.matchAll(/^id: d-test:(\d+)$/gm)].map(([, id]) => Number(id));
}

const paused = { type: "sync.paused", sync: SYNC, why: null } as const;

test("events come as they happen, and only those that are asked for", async ({
  scene: { service, start },
}) => {
  const { url } = await start();
  const all = await open(url);
  const some = await open(url, `?sync=${SYNC}&run=q-7`);
  expect(all.response.headers["content-type"]).toContain("text/event-stream");
  service.tell(paused);
  service.tell({ type: "daemon.draining" });
  service.tell({
    type: "queue.changed",
    queueId: "q-7",
    sync: SYNC,
    state: "taken",
  });
  service.tell({
    type: "queue.changed",
    queueId: "q-8",
    sync: SYNC,
    state: "taken",
  });
  await until(() => idsOf(all).at(-1) === 4);
  expect(idsOf(all)).toEqual([1, 2, 3, 4]);
  await until(() => idsOf(some).length > 0);
  expect(idsOf(some)).toEqual([3]);
  const data = /^event: queue\.changed\ndata: (.*)$/m.exec(some.text)?.[1];
  expect(JSON.parse(data ?? "")).toMatchObject({
    queueId: "q-7",
    state: "taken",
  });
  all.close();
  some.close();
});

test("who comes back gets what it has missed, and is told what is gone", async ({
  scene: { service, start },
}) => {
  const { url } = await start();
  for (let i = 0; i < 5; i++) service.tell(paused);
  const back = await open(url, "", { "last-event-id": "d-test:3" });
  await until(() => idsOf(back).at(-1) === 5);
  expect(idsOf(back)).toEqual([4, 5]);
  expect(back.text).not.toContain("gap");

  for (let i = 0; i < EVENTS_KEPT_MAX + 10; i++) service.tell(paused);
  const late = await open(url, "", { "last-event-id": "d-test:3" });
  await until(() => idsOf(late).at(-1) === EVENTS_KEPT_MAX + 15);
  const oldest = idsOf(late)[0] ?? 0;
  expect(late.text).toContain(`event: gap\ndata: {"missed":${oldest - 1 - 3}}`);

  const stranger = await open(url, "", { "last-event-id": "d-other:9" });
  await until(() => stranger.text.includes("event: gap"));
  for (const stream of [back, late, stranger]) stream.close();
});

/** A subscriber that never reads on after the answer's head. */
async function stall(url: string): Promise<Socket> {
  const socket = createConnection(Number(new URL(url).port), "127.0.0.1");
  socket.on("error", () => {});
  socket.write(
    `GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${tokens.viewer}\r\n\r\n`,
  );
  await new Promise((resolve) => socket.once("data", resolve));
  socket.pause();
  return socket;
}

test("a subscriber that does not read is let go of, and costs a bounded memory", async ({
  scene: { service, start },
}) => {
  const { url } = await start();
  const socket = await stall(url);
  const reader = await open(url);
  const changes = ["x".repeat(200_000)];
  const EVENTS = 100;
  for (let i = 0; i < EVENTS; i++) {
    service.tell({ type: "config.reloaded", changes });
    await until(() => idsOf(reader).at(-1) === i + 1);
    reader.text = reader.text.slice(-100);
  }
  socket.resume();
  await new Promise((resolve) => socket.on("close", resolve));
  expect(socket.bytesRead).toBeLessThan((EVENTS * 200_000) / 2);
  reader.close();
});

test("more streams than there is room for are refused", async ({
  scene: { start },
}) => {
  const { url } = await start();
  const streams = [];
  for (let i = 0; i < LISTENERS_MAX; i++) streams.push(await open(url));
  const refused = await open(url);
  expect(refused.response.statusCode).toBe(503);
  await until(() => refused.text.includes("TOO_MANY_SUBSCRIBERS"));
  for (const stream of streams) stream.close();
  let status = 503;
  while (status !== 200) {
    const again = await open(url);
    status = again.response.statusCode ?? 0;
    again.close();
  }
});

test("open streams do not keep a daemon from stopping, read or not", async ({
  scene: { service, start },
}) => {
  const api = await start();
  const stream = await open(api.url);
  const socket = await stall(api.url);
  for (let i = 0; i < 5; i++)
    service.tell({ type: "config.reloaded", changes: ["x".repeat(200_000)] });
  const ended = new Promise((resolve) => stream.response.on("close", resolve));
  await api.close();
  await ended;
  socket.destroy();
});

test("the ring keeps the newest events, by number and by size", () => {
  const ring = new EventRing();
  const add = (sequence: number, length: number) =>
    ring.add({
      sequence,
      type: "t",
      sync: null,
      runs: [],
      text: "x".repeat(length),
    });
  for (let i = 1; i <= EVENTS_KEPT_MAX + 1; i++) add(i, 1);
  expect(ring.since(0)).toMatchObject({ missed: 1 });
  add(EVENTS_KEPT_MAX + 2, 400_000);
  add(EVENTS_KEPT_MAX + 3, 400_000);
  const { events, missed } = ring.since(0);
  expect(events.map(({ sequence }) => sequence)).toEqual([EVENTS_KEPT_MAX + 3]);
  expect(missed).toBe(EVENTS_KEPT_MAX + 2);
  expect(ring.since(EVENTS_KEPT_MAX + 3)).toEqual({ events: [], missed: 0 });
});
