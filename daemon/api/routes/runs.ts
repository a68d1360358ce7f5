/** Runs: what the ledger has of them, and orders to one. */
import type { FastifyInstance } from "fastify";
import type { RunState } from "../../../checkpoint/store/records.ts";
import type { QueueState } from "../../../checkpoint/store/queue.ts";
import type { RunOrder } from "../../service/types.ts";
import {
  ID_LENGTH_MAX,
  NAME_LENGTH_MAX,
  idParameter,
  limitQuery,
  listOf,
  object,
  queueStates,
  reference,
  type Schema,
} from "../schemas.ts";
import {
  parseObject,
  viewPartitions,
  viewPlans,
  viewQueueEntry,
  viewStates,
  viewStreams,
  viewTimeline,
} from "../views.ts";
import { API, answers, nameCaller, type RouteContext } from "./context.ts";

const syncQuery: Schema = {
  type: "string",
  maxLength: NAME_LENGTH_MAX,
  description: "Only of this sync.",
};
const offsetQuery: Schema = { type: "integer", minimum: 0, default: 0 };
const query = (properties: Readonly<Record<string, Schema>>): Schema => ({
  type: "object",
  properties,
  additionalProperties: false,
});

interface WithId {
  Params: { id: string };
}

interface Page {
  readonly limit: number;
  readonly offset: number;
}

function list(
  app: FastifyInstance,
  { service, history, finder }: RouteContext,
) {
  app.get<{
    Querystring: {
      limit: number;
      sync?: string;
      state?: readonly RunState[];
      before?: string;
    };
  }>(`${API}/runs`, {
    config: { role: "viewer" },
    schema: {
      tags: ["runs"],
      summary: "Runs, newest first",
      querystring: query({
        sync: syncQuery,
        state: {
          type: "array",
          items: {
            type: "string",
            enum: [
              "running",
              "succeeded",
              "partlyFailed",
              "failed",
              "interrupted",
              "abandoned",
            ],
          },
          description: "Only in these states, parted by commas.",
        },
        before: {
          type: "string",
          maxLength: ID_LENGTH_MAX,
          pattern: "^r-[0-9a-f-]+$",
          description: "Only older than this run: `next` of the page before.",
        },
        limit: limitQuery,
      }),
      response: answers(
        200,
        "A page of runs.",
        object({
          runs: listOf(reference("Run")),
          next: {
            type: ["string", "null"],
            description: "`before` of the next page; null at the end.",
          },
        }),
      ),
    },
    handler: async (request) => {
      const { limit, sync, state, before } = request.query;
      const runs = history.listRuns({
        limit: limit + 1,
        before: before === undefined ? null : finder.findRun(before).runId,
        states: state ?? null,
        syncIds:
          sync === undefined
            ? null
            : service
                .listSyncs()
                .filter(({ name }) => name === sync)
                .map(({ syncId }) => syncId),
      });
      const shown = runs.slice(0, limit);
      return {
        runs: shown.map((run) => finder.view(run)),
        next: runs.length > limit ? (shown.at(-1)?.runId ?? null) : null,
      };
    },
  });

  app.get<{
    Querystring: {
      limit: number;
      sync?: string;
      state?: readonly QueueState[];
    };
  }>(`${API}/queue`, {
    config: { role: "viewer" },
    schema: {
      tags: ["queue"],
      summary: "What waits, works, and has been",
      querystring: query({
        sync: syncQuery,
        state: {
          type: "array",
          items: { type: "string", enum: queueStates },
          description: "Only in these states, parted by commas.",
        },
        limit: limitQuery,
      }),
      response: answers(
        200,
        "Newest first.",
        object({ queue: listOf(reference("QueueEntry")) }),
      ),
    },
    handler: async (request) => {
      const { limit, sync = null, state = null } = request.query;
      const found = service.listQueue({ sync, states: state, limit });
      return { queue: found.map(viewQueueEntry) };
    },
  });

  app.get<WithId>(`${API}/queue/:id`, {
    config: { role: "viewer" },
    schema: {
      tags: ["queue"],
      summary: "One queue entry",
      params: idParameter,
      response: answers(200, "The entry.", reference("QueueEntry")),
    },
    handler: async ({ params }) =>
      viewQueueEntry(finder.findQueueEntry(params.id)),
  });
}

function details(app: FastifyInstance, { history, finder }: RouteContext) {
  app.get<WithId>(`${API}/runs/:id`, {
    config: { role: "viewer" },
    schema: {
      tags: ["runs"],
      summary: "One run",
      params: idParameter,
      response: answers(200, "The run.", reference("RunDetail")),
    },
    handler: async ({ params }) => {
      const run = finder.findRun(params.id);
      return {
        run: finder.view(run),
        live: finder.findLive(run.runId) ?? null,
        request: parseObject(run.requestJson),
        snapshots: history.snapshotsOf(run.runId).length,
      };
    },
  });

  app.get<WithId>(`${API}/runs/:id/streams`, {
    config: { role: "viewer" },
    schema: {
      tags: ["runs"],
      summary: "The streams of a run",
      params: idParameter,
      response: answers(
        200,
        "By number.",
        object({ streams: listOf(reference("Stream")) }),
      ),
    },
    handler: async ({ params }) => ({
      streams: viewStreams(history, finder.findRun(params.id).runId),
    }),
  });

  app.get<WithId & { Querystring: Page & { stream?: number } }>(
    `${API}/runs/:id/partitions`,
    {
      config: { role: "viewer" },
      schema: {
        tags: ["runs"],
        summary: "The partitions of a run",
        params: idParameter,
        querystring: query({
          stream: {
            type: "integer",
            minimum: 0,
            description: "Number of a stream.",
          },
          offset: offsetQuery,
          limit: limitQuery,
        }),
        response: answers(
          200,
          "A page, by stream and ordinal.",
          object({
            partitions: listOf(reference("Partition")),
            total: { type: "integer", minimum: 0 },
          }),
        ),
      },
      handler: async ({ params, query: { stream = null, ...page } }) =>
        viewPartitions(history, finder.findRun(params.id).runId, {
          stream,
          ...page,
        }),
    },
  );

  app.get<WithId>(`${API}/runs/:id/states`, {
    config: { role: "viewer" },
    schema: {
      tags: ["runs"],
      summary: "What each stream would go on with",
      params: idParameter,
      response: answers(
        200,
        "The last released state of each stream.",
        object({ states: listOf(reference("StreamState")) }),
      ),
    },
    handler: async ({ params }) => ({
      states: viewStates(history, finder.findRun(params.id)),
    }),
  });

  app.get<WithId>(`${API}/runs/:id/plan`, {
    config: { role: "viewer" },
    schema: {
      tags: ["runs"],
      summary: "How each stream was cut, and why",
      params: idParameter,
      response: answers(
        200,
        "The plan of each stream that has one.",
        object({ plan: listOf(reference("StreamPlan")) }),
      ),
    },
    handler: async ({ params }) => ({
      plan: viewPlans(history, finder.findRun(params.id).runId),
    }),
  });

  app.get<WithId & { Querystring: Page }>(`${API}/runs/:id/timeline`, {
    config: { role: "viewer" },
    schema: {
      tags: ["runs"],
      summary: "What happened in a run",
      params: idParameter,
      querystring: query({ offset: offsetQuery, limit: limitQuery }),
      response: answers(
        200,
        "A page, oldest first.",
        object({
          events: listOf(reference("TimelineEvent")),
          total: { type: "integer", minimum: 0 },
        }),
      ),
    },
    handler: async ({ params, query: { offset, limit } }) => {
      const events = viewTimeline(history, finder.findRun(params.id));
      return {
        total: events.length,
        events: events.slice(offset, offset + limit),
      };
    },
  });
}

const orders: Readonly<Record<RunOrder, string>> = {
  cancel: "End a run for good, or take it out of the queue",
  pause: "Let a run checkpoint and stop, until it is resumed",
  resume: "Go on with a paused run",
  retry: "Queue a failed run again: it goes on behind its last checkpoint",
};

function orderRoutes(
  app: FastifyInstance,
  { service, noteOrder }: RouteContext,
): void {
  for (const [order, summary] of Object.entries(orders) as [RunOrder, string][])
    app.post<WithId>(`${API}/runs/:id/${order}`, {
      config: { role: "operator" },
      schema: {
        tags: ["orders"],
        summary,
        description:
          "Refused with RUN_STATE where it makes no sense in the run's state.",
        params: idParameter,
        response: answers(202, "It is under way.", reference("Accepted")),
      },
      handler: async (request, reply) => {
        const { id } = request.params;
        service.order(id, order, nameCaller(request));
        noteOrder(request, { order, run: id });
        return reply.code(202).send({ accepted: true });
      },
    });

  app.post<WithId>(`${API}/runs/:id/replay`, {
    config: { role: "operator" },
    schema: {
      tags: ["orders"],
      summary: "Run a past run again, from its recorded plan and request",
      params: idParameter,
      response: answers(202, "A new run is queued.", reference("Receipt")),
    },
    handler: async (request, reply) => {
      const { id } = request.params;
      const receipt = service.replay(id, nameCaller(request));
      const { queueId } = receipt;
      noteOrder(request, { order: "replay", run: id, queueId });
      return reply.code(202).send(receipt);
    },
  });
}

export function runRoutes(app: FastifyInstance, context: RouteContext): void {
  list(app, context);
  details(app, context);
  orderRoutes(app, context);
}
