/**
 * The inspector over HTTP: the page, and the JSON and server-sent events it reads. Whoever may look is decided by the
 * server around it, from each route's `config.role`.
 */
import type {
  FastifyInstance,
  FastifyPluginAsync,
  FastifyReply,
  FastifyRequest,
} from "fastify";
import { ExtractError } from "../../proto/error.ts";
import type { DaemonService, RunOrder } from "../service/types.ts";
import { loadAssets } from "./assets.ts";
import { describeCharts } from "./charts.ts";
import type { InspectorFeed } from "./feed.ts";
import type { History } from "./history.ts";
import { PastRuns } from "./past-runs.ts";
import { listRuns } from "./run-list.ts";
import { streamRecords } from "./stream.ts";

const INSPECTOR = "/inspector";
const API = `${INSPECTOR}/api`;
const ID_LENGTH_MAX = 100;

/** Nothing but what this server serves; no inline script, no frame, no form to elsewhere. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

export interface InspectorSettings {
  readonly feed: InspectorFeed;
  readonly history: History | null;
  /** Null: nothing can be ordered, as where a recorded run is shown without a daemon. */
  readonly service: Pick<DaemonService, "order" | "orderActor"> | null;
}

const orders = ["cancel", "pause", "resume", "retry"] as const;

const runParams = {
  type: "object",
  required: ["run"],
  properties: { run: { type: "string", maxLength: ID_LENGTH_MAX } },
};

const orderBody = {
  type: "object",
  required: ["order"],
  additionalProperties: false,
  properties: { order: { type: "string", enum: [...orders] } },
};

const actorBody = {
  type: "object",
  required: ["order", "process", "thread", "id"],
  additionalProperties: false,
  properties: {
    order: { type: "string", enum: [...orders] },
    process: { type: "string", maxLength: ID_LENGTH_MAX },
    thread: { type: "integer", minimum: 0, maximum: 100_000 },
    id: { type: "string", maxLength: ID_LENGTH_MAX },
  },
};

interface RunParams {
  readonly run: string;
}

/** Routes are hidden from the API's document: the page is their one reader, and both change together. */
const hidden = { hide: true } as const;

export function createInspectorRoutes(
  settings: InspectorSettings,
): FastifyPluginAsync {
  return async (app) => {
    servePage(app);
    serveRuns(app, settings);
    if (settings.service !== null) takeOrders(app, settings.service);
  };
}

function servePage(app: FastifyInstance): void {
  const assets = loadAssets();
  const send = (
    request: FastifyRequest,
    reply: FastifyReply,
    path: string,
  ): FastifyReply => {
    const asset = assets.get(path);
    if (!asset) return reply.code(404).send();
    void reply.headers({
      "content-security-policy": POLICY,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cache-control": "no-cache",
      etag: asset.etag,
    });
    if (request.headers["if-none-match"] === asset.etag)
      return reply.code(304).send();
    return reply.type(asset.type).send(asset.body);
  };
  const options = { config: { role: "public" as const }, schema: hidden };
  app.get("/", options, (_request, reply) => reply.redirect(`${INSPECTOR}/`));
  app.get(INSPECTOR, options, (_request, reply) =>
    reply.redirect(`${INSPECTOR}/`),
  );
  app.get(`${INSPECTOR}/`, options, (request, reply) =>
    send(request, reply, "page/index.html"),
  );
  app.get<{ Params: { folder: string; file: string } }>(
    `${INSPECTOR}/:folder/:file`,
    options,
    (request, reply) =>
      send(request, reply, `${request.params.folder}/${request.params.file}`),
  );
}

function serveRuns(
  app: FastifyInstance,
  { feed, history, service }: InspectorSettings,
): void {
  const past = new PastRuns(feed, history);
  const viewer = { role: "viewer" } as const;
  let charts: ReturnType<typeof describeCharts> | null = null;

  app.get(`${API}/session`, { config: viewer, schema: hidden }, (request) => ({
    name: request.caller?.name ?? null,
    role: request.caller?.role ?? "viewer",
    takesOrders: service !== null,
  }));

  app.get(`${API}/charts`, { config: viewer, schema: hidden }, () => {
    charts ??= describeCharts();
    return charts;
  });

  app.get(`${API}/runs`, { config: viewer, schema: hidden }, () =>
    listRuns(feed, history),
  );

  app.get<{ Params: RunParams; Querystring: { at?: number } }>(
    `${API}/runs/:run/window`,
    {
      config: viewer,
      schema: {
        ...hidden,
        params: runParams,
        querystring: {
          type: "object",
          properties: { at: { type: "integer", minimum: 0 } },
        },
      },
    },
    async (request) => {
      const { run } = request.params;
      const window = await past.window(
        run,
        request.query.at ?? Number.MAX_SAFE_INTEGER,
      );
      if (window === null) throw notRecorded(run);
      return window;
    },
  );

  app.get<{ Params: RunParams; Querystring: { after?: number } }>(
    `${API}/runs/:run/records`,
    {
      config: viewer,
      schema: {
        ...hidden,
        params: runParams,
        querystring: {
          type: "object",
          properties: { after: { type: "integer", minimum: 0 } },
        },
      },
    },
    (request, reply) => {
      const run = feed.find(request.params.run);
      if (run === null) throw notRecorded(request.params.run);
      streamRecords(app, feed, run, request.query.after ?? 0, reply);
    },
  );
}

function takeOrders(
  app: FastifyInstance,
  service: Pick<DaemonService, "order" | "orderActor">,
): void {
  const operator = { role: "operator" } as const;
  app.post<{ Params: RunParams; Body: { order: RunOrder } }>(
    `${API}/runs/:run/order`,
    {
      config: operator,
      schema: { ...hidden, params: runParams, body: orderBody },
    },
    (request) => {
      const caller = request.caller?.name ?? "inspector";
      service.order(request.params.run, request.body.order, caller);
      return { taken: true };
    },
  );
  app.post<{
    Params: RunParams;
    Body: { order: RunOrder; process: string; thread: number; id: string };
  }>(
    `${API}/runs/:run/actor-order`,
    {
      config: operator,
      schema: { ...hidden, params: runParams, body: actorBody },
    },
    async (request) => {
      const { order, process, thread, id } = request.body;
      const actor = { process, thread, id };
      await service.orderActor(request.params.run, actor, order);
      return { taken: true };
    },
  );
}

function notRecorded(run: string): ExtractError {
  return new ExtractError(
    "RUN_NOT_FOUND",
    `nothing is recorded of the run ${run}`,
    { runId: run },
  );
}
