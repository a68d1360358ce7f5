/** Syncs: what is configured, and orders to one as a whole. */
import type { FastifyInstance } from "fastify";
import type { RunScope, SyncView } from "../../service/types.ts";
import {
  KEY_LENGTH_MAX,
  listOf,
  object,
  reference,
  streamParameters,
  syncParameter,
} from "../schemas.ts";
import { API, answers, nameCaller, type RouteContext } from "./context.ts";

interface TriggerBody {
  readonly streams?: readonly string[] | null;
  readonly ranges?:
    | readonly {
        readonly stream: string;
        readonly column: string;
        readonly from?: string | null;
        readonly until?: string | null;
      }[]
    | null;
  readonly window?: {
    readonly from?: string | null;
    readonly to?: string | null;
  } | null;
  readonly key?: string | null;
}

function readScope({ streams, ranges, window }: TriggerBody): RunScope {
  return {
    streams: streams ?? null,
    ranges:
      ranges?.map(({ stream, column, from, until }) => ({
        stream,
        column,
        from: from ?? null,
        until: until ?? null,
      })) ?? null,
    window:
      window === null || window === undefined
        ? null
        : { from: window.from ?? null, to: window.to ?? null },
  };
}

export function syncRoutes(app: FastifyInstance, context: RouteContext): void {
  const { service, finder, noteOrder } = context;
  const view = (sync: SyncView) => ({
    ...sync,
    lastRun: sync.lastRun === null ? null : finder.view(sync.lastRun),
  });
  const findSync = (name: string) => finder.findSync(name);

  app.get(`${API}/syncs`, {
    config: { role: "viewer" },
    schema: {
      tags: ["syncs"],
      summary: "The syncs of the configuration",
      response: answers(
        200,
        "In the order of the file.",
        object({ syncs: listOf(reference("Sync")) }),
      ),
    },
    handler: async () => ({ syncs: service.listSyncs().map(view) }),
  });

  app.get<{ Params: { name: string } }>(`${API}/syncs/:name`, {
    config: { role: "viewer" },
    schema: {
      tags: ["syncs"],
      summary: "One sync",
      params: syncParameter,
      response: answers(200, "The sync.", reference("Sync")),
    },
    handler: async ({ params }) => view(findSync(params.name)),
  });

  app.post<{
    Params: { name: string };
    Headers: { "idempotency-key"?: string };
    Body: TriggerBody | null | undefined;
  }>(`${API}/syncs/:name/runs`, {
    config: { role: "operator" },
    schema: {
      tags: ["syncs"],
      summary: "Queue a run",
      description:
        "When this answers, the run is in the ledger: a crash does not lose it. Without a body the run has the sync's own scope.",
      params: syncParameter,
      headers: {
        type: "object",
        properties: {
          "idempotency-key": {
            type: "string",
            minLength: 1,
            maxLength: KEY_LENGTH_MAX,
            description:
              "Sent again with the same key within a day, the request is known and starts nothing, also after a restart.",
            examples: ["0f0c4a7e-55d2-4f8c-9d3b-1f2a4c7b9e11"],
          },
        },
      },
      body: { anyOf: [reference("Trigger"), { type: "null" }] },
      response: answers(202, "It is recorded.", reference("Receipt")),
    },
    handler: async (request, reply) => {
      const sync = findSync(request.params.name);
      const body = request.body ?? {};
      const caller = nameCaller(request);
      const order = {
        sync: sync.name,
        scope: readScope(body),
        key: body.key ?? null,
        origin: { kind: "api", caller },
        idempotencyKey: request.headers["idempotency-key"] ?? null,
      } as const;
      const receipt = service.trigger(order);
      const { queueId } = receipt;
      noteOrder(request, { order: "trigger", sync: sync.name, queueId });
      return reply.code(202).send(receipt);
    },
  });

  for (const order of ["pause", "resume"] as const)
    app.post<{ Params: { name: string } }>(`${API}/syncs/:name/${order}`, {
      config: { role: "operator" },
      schema: {
        tags: ["syncs"],
        summary:
          order === "pause"
            ? "Begin no more runs of a sync"
            : "Begin runs of a paused sync again",
        ...(order === "pause"
          ? {}
          : {
              description:
                "Of a sync that waits for somebody to agree to what its tables have become (`pause` says to what), this is the agreement: it holds until the streams are committed.",
            }),
        params: syncParameter,
        response: answers(202, "It is done.", reference("Accepted")),
      },
      handler: async (request, reply) => {
        const { name } = findSync(request.params.name);
        const caller = nameCaller(request);
        if (order === "pause") service.pauseSync(name, caller);
        else service.resumeSync(name, caller);
        noteOrder(request, { order, sync: name });
        return reply.code(202).send({ accepted: true });
      },
    });

  app.post<{ Params: { name: string; stream: string } }>(
    `${API}/syncs/:name/streams/:stream/reset`,
    {
      config: { role: "admin" },
      schema: {
        tags: ["syncs"],
        summary: "Forget what is known of one stream",
        description: "Its next run copies it whole.",
        params: streamParameters,
        response: answers(202, "It is forgotten.", reference("Accepted")),
      },
      handler: async (request, reply) => {
        const { name } = findSync(request.params.name);
        const { stream } = request.params;
        service.resetStream(name, stream, nameCaller(request));
        noteOrder(request, { order: "reset", sync: name, stream });
        return reply.code(202).send({ accepted: true });
      },
    },
  );

  app.post<{ Params: { name: string; stream: string } }>(
    `${API}/syncs/:name/streams/:stream/backfill`,
    {
      config: { role: "admin" },
      schema: {
        tags: ["syncs"],
        summary: "Copy one stream anew",
        description:
          "Forgets what is known of the stream, and queues a run of it alone: its whole copy takes the place of the one that is there. For a column that came later, whose values older rows lack.",
        params: streamParameters,
        response: answers(202, "It is recorded.", reference("Receipt")),
      },
      handler: async (request, reply) => {
        const { name } = findSync(request.params.name);
        const { stream } = request.params;
        const caller = nameCaller(request);
        const receipt = service.backfillStream(name, stream, caller);
        const { queueId } = receipt;
        noteOrder(request, { order: "backfill", sync: name, stream, queueId });
        return reply.code(202).send(receipt);
      },
    },
  );
}
