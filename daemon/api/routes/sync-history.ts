/** The past of a sync: its timeline, and how often it and its streams succeeded. */
import type { FastifyInstance } from "fastify";
import { findStream } from "../../service/orders.ts";
import {
  ID_LENGTH_MAX,
  listOf,
  object,
  reference,
  streamParameters,
  syncParameter,
  type Schema,
} from "../schemas.ts";
import {
  viewStreamCounts,
  viewStreamRuns,
  viewSyncCounts,
  viewSyncTimeline,
} from "../sync-history.ts";
import { API, answers, type RouteContext } from "./context.ts";

/** Each stream of a page is counted by a question of its own to the ledger. */
const PAGE_MAX = 100;

const limit: Schema = {
  type: "integer",
  minimum: 1,
  maximum: PAGE_MAX,
  default: 50,
};
const days: Schema = {
  type: "integer",
  minimum: 1,
  maximum: 400,
  default: 30,
  description: "Days that are counted, in UTC; today is the last.",
};
const query = (properties: Readonly<Record<string, Schema>>): Schema => ({
  type: "object",
  properties,
  additionalProperties: false,
});

interface OfSync {
  Params: { name: string };
}

export function syncHistoryRoutes(
  app: FastifyInstance,
  { history, finder }: RouteContext,
): void {
  app.get<OfSync & { Querystring: { before?: number; limit: number } }>(
    `${API}/syncs/:name/timeline`,
    {
      config: { role: "viewer" },
      schema: {
        tags: ["syncs"],
        summary: "What happened to a sync",
        description:
          "Its runs, what they found its tables to have become, pauses, agreements and resets.",
        params: syncParameter,
        querystring: query({
          before: {
            type: "integer",
            minimum: 0,
            description:
              "Only earlier than this: `next` of the page before, in milliseconds since the Unix epoch.",
          },
          limit,
        }),
        response: answers(
          200,
          "A page, newest first; it may hold some more than `limit`, of the same millisecond.",
          object({
            events: listOf(reference("SyncTimelineEvent")),
            next: {
              type: ["integer", "null"],
              description: "`before` of the next page; null at the end.",
            },
          }),
        ),
      },
      handler: async ({ params, query: { before = null, ...page } }) =>
        viewSyncTimeline(history, finder.findSync(params.name), {
          before,
          ...page,
        }),
    },
  );

  app.get<OfSync & { Querystring: { days: number } }>(
    `${API}/syncs/:name/counts`,
    {
      config: { role: "viewer" },
      schema: {
        tags: ["syncs"],
        summary: "How often a sync ran, and how often it succeeded",
        params: syncParameter,
        querystring: query({ days }),
        response: answers(200, "By day.", reference("RunCounts")),
      },
      handler: async ({ params, query: { days: span } }) =>
        viewSyncCounts(history, finder.findSync(params.name).syncId, span),
    },
  );

  app.get<
    OfSync & { Querystring: { days: number; offset: number; limit: number } }
  >(`${API}/syncs/:name/streams`, {
    config: { role: "viewer" },
    schema: {
      tags: ["syncs"],
      summary: "How often the streams of a sync were copied",
      params: syncParameter,
      querystring: query({
        days,
        offset: { type: "integer", minimum: 0, default: 0 },
        limit,
      }),
      response: answers(
        200,
        "A page, by name.",
        object({
          streams: listOf(reference("StreamCounts")),
          total: { type: "integer", minimum: 0 },
        }),
      ),
    },
    handler: async ({ params, query: page }) =>
      viewStreamCounts(history, finder.findSync(params.name).syncId, page),
  });

  app.get<{
    Params: { name: string; stream: string };
    Querystring: { days: number; before?: string; limit: number };
  }>(`${API}/syncs/:name/streams/:stream/runs`, {
    config: { role: "viewer" },
    schema: {
      tags: ["syncs"],
      summary: "How one stream fared in the runs of its sync",
      params: streamParameters,
      querystring: query({
        days,
        before: {
          type: "string",
          maxLength: ID_LENGTH_MAX,
          pattern: "^r-[0-9a-f-]+$",
          description: "Only older than this run: `next` of the page before.",
        },
        limit,
      }),
      response: answers(200, "A page, newest first.", reference("StreamRuns")),
    },
    handler: async ({ params, query: { before = null, ...page } }) => {
      const { syncId } = finder.findSync(params.name);
      const place = findStream(history, syncId, params.stream);
      return viewStreamRuns(history, syncId, place, { before, ...page });
    },
  });
}
