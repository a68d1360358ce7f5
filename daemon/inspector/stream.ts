/** A live run's records as server-sent events. Who reads too slowly is told of the gap, and begins anew. */
import type { FastifyInstance, FastifyReply } from "fastify";
import { ExtractError } from "../../proto/error.ts";
import type { FeedRun, InspectorFeed } from "./feed.ts";

/** How often records leave, at most: ten times a second is more than a person can follow. */
const EVERY_MS = 100;
const RECORDS_PER_EVENT_MAX = 4_096;
/** What a reader may leave unread before records are left out. */
const UNREAD_BYTES_MAX = 8 * 1024 * 1024;
const STREAMS_MAX = 64;
const HEARTBEAT_MS = 15_000;

const open = new WeakMap<FastifyInstance, number>();

/** @param after number of the first record that is wanted */
export function streamRecords(
  app: FastifyInstance,
  feed: InspectorFeed,
  run: FeedRun,
  after: number,
  reply: FastifyReply,
): void {
  const count = open.get(app) ?? 0;
  if (count >= STREAMS_MAX)
    throw new ExtractError("API_UNAVAILABLE", "too many pages are open");
  open.set(app, count + 1);
  reply.hijack();
  const response = reply.raw;
  response.writeHead(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
  });
  let next = after;
  let timer: NodeJS.Timeout | null = null;

  const send = (event: string, data: string): void => {
    response.write(`event: ${event}\ndata: ${data}\n\n`);
  };
  const sendNew = (): void => {
    timer = null;
    if (response.writableEnded) return;
    if (response.writableLength > UNREAD_BYTES_MAX) {
      later();
      return;
    }
    if (next < run.ring.first) {
      send("gap", JSON.stringify({ first: run.ring.first }));
      next = run.ring.end;
    }
    const lines = run.ring.slice(next, RECORDS_PER_EVENT_MAX);
    if (lines.length > 0)
      send("records", `{"first":${next},"records":[${lines.join(",")}]}`);
    next += lines.length;
    if (next < run.ring.end) later();
    else if (run.isOver) {
      send("end", "{}");
      response.end();
    }
  };
  const later = (): void => {
    timer ??= setTimeout(sendNew, EVERY_MS);
  };

  const stop = feed.watch(run, later);
  const beat = setInterval(
    () => response.write(": still here\n\n"),
    HEARTBEAT_MS,
  );
  response.on("error", () => {
    // the reader is gone; `close` follows
  });
  response.on("close", () => {
    stop();
    clearInterval(beat);
    if (timer) clearTimeout(timer);
    open.set(app, (open.get(app) ?? 1) - 1);
  });
  sendNew();
}
