/**
 * The daemon's events as server-sent events (WHATWG HTML, 9.2). Who comes back with `Last-Event-ID` gets what it has
 * missed, as far as it is kept; who reads too slowly is let go of, and may come back.
 */
import type { ServerResponse } from "node:http";
import type { FastifyInstance } from "fastify";
import { HttpFault } from "../errors.ts";
import type { RingEvent } from "../event-ring.ts";
import { EVENTS_KEPT_BYTES_MAX } from "../event-ring.ts";
import { ID_LENGTH_MAX, NAME_LENGTH_MAX } from "../schemas.ts";
import { API, type RouteContext } from "./context.ts";

/** More than the whole ring: what is kept can always be sent again at once. */
const SUBSCRIBER_BYTES_MAX = 4 * EVENTS_KEPT_BYTES_MAX;
/** Shorter than the minute after which proxies take silence for an end. */
const HEARTBEAT_MS = 15_000;
const RETRY_MS = 2_000;

interface Query {
  readonly sync?: string;
  readonly run?: string;
}

export function eventRoutes(app: FastifyInstance, context: RouteContext): void {
  const { ring, service } = context;
  const open = new Set<ServerResponse>();
  app.addHook("preClose", async () => {
    for (const response of open) response.end();
  });

  app.get<{ Querystring: Query }>(`${API}/events`, {
    config: { role: "viewer" },
    schema: {
      tags: ["events"],
      summary: "What happens, as it happens",
      description:
        "Server-sent events. `event` is the type, `data` one JSON object, `id` goes into `Last-Event-ID` after a break. `gap` says how many events are no longer kept.",
      produces: ["text/event-stream"],
      querystring: {
        type: "object",
        additionalProperties: false,
        properties: {
          sync: {
            type: "string",
            maxLength: NAME_LENGTH_MAX,
            description: "Only of this sync.",
          },
          run: {
            type: "string",
            maxLength: ID_LENGTH_MAX,
            description: "Only of this run or queue entry.",
          },
        },
      },
      headers: {
        type: "object",
        properties: {
          "last-event-id": {
            type: "string",
            maxLength: 200,
            description: "`id` of the last event that has come.",
          },
        },
      },
    },
    handler: (request, reply) => {
      const { sync, run } = request.query;
      const isWanted = (event: RingEvent): boolean =>
        (sync === undefined || event.sync === sync) &&
        (run === undefined || event.runs.includes(run));
      const response = reply.raw;
      const send = (text: string): void => {
        if (response.destroyed || response.writableEnded) return;
        response.write(text);
        if (response.writableLength > SUBSCRIBER_BYTES_MAX) response.destroy();
      };
      const tell = (event: RingEvent): void => {
        if (isWanted(event))
          send(
            `id: ${service.id}:${event.sequence}\nevent: ${event.type}\ndata: ${event.text}\n\n`,
          );
      };
      const stop = ring.listen(tell);
      if (stop === null)
        throw new HttpFault(
          "TOO_MANY_SUBSCRIBERS",
          "too many event streams are open",
        );
      reply.hijack();
      open.add(response);
      response.writeHead(200, {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        "x-accel-buffering": "no",
      });
      send(`retry: ${RETRY_MS}\n\n`);
      const { missed, events } = readMissed(
        request.headers["last-event-id"],
        context,
      );
      if (missed > 0) send(`event: gap\ndata: {"missed":${missed}}\n\n`);
      for (const event of events) tell(event);
      const beat = setInterval(() => send(": still here\n\n"), HEARTBEAT_MS);
      const end = (): void => {
        clearInterval(beat);
        stop();
        open.delete(response);
      };
      response.on("close", end);
      response.on("error", () => {
        // the subscriber is gone; `close` follows
      });
    },
  });
}

/** Ids of another daemon, or of one that has started anew, say only that everything was missed. */
function readMissed(
  header: string | string[] | undefined,
  { ring, service }: RouteContext,
): { missed: number; events: readonly RingEvent[] } {
  if (typeof header !== "string") return { missed: 0, events: [] };
  const prefix = `${service.id}:`;
  const sequence = Number(header.slice(prefix.length));
  const isOurs =
    header.startsWith(prefix) &&
    Number.isSafeInteger(sequence) &&
    sequence >= 0 &&
    sequence <= ring.newest;
  return ring.since(isOurs ? sequence : 0);
}
