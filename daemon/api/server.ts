/** The HTTP server of the daemon: the API, health, metrics, and the inspector's page. */
import {
  fastify,
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyPluginAsync,
} from "fastify";
import type { ListenAddress, TokenSettings } from "../config-daemon.ts";
import { ExtractError } from "../../proto/error.ts";
import type { DaemonEvent, DaemonService } from "../service/types.ts";
import type { TriggerHealth } from "../triggers/trigger-health.ts";
import { describeApi, serveDocument } from "./document.ts";
import { describeFault, HttpFault, type ErrorBody } from "./errors.ts";
import { EventRing, type RingEvent } from "./event-ring.ts";
import { guard, isLoopback } from "./guard.ts";
import { RunFinder, type History } from "./history.ts";
import type { Logger } from "./log.ts";
import { KnownRoutes } from "./methods.ts";
import { Metrics } from "./metrics.ts";
import { noteAddress } from "./address.ts";
import { readQueries } from "./query.ts";
import { eventRoutes } from "./routes/events.ts";
import { healthRoutes } from "./routes/health.ts";
import { metricsRoute } from "./routes/metrics.ts";
import { runRoutes } from "./routes/runs.ts";
import { syncHistoryRoutes } from "./routes/sync-history.ts";
import { syncRoutes } from "./routes/syncs.ts";
import type { RouteContext } from "./routes/context.ts";
import { ID_LENGTH_MAX, STREAM_LENGTH_MAX } from "./schemas.ts";
import type { SecretCover } from "./secrets.ts";
import { drawToken, TokenBook, writeDaemonFile } from "./tokens.ts";

const BODY_BYTES_MAX = 1024 * 1024;
/** A request that is not whole by then is let go of. */
const REQUEST_MS_MAX = 30_000;
const CONNECTIONS_MAX = 1024;

export interface ApiSettings {
  readonly listen: ListenAddress;
  /** Empty: an admin's token is drawn, and written to `tokenFile`. */
  readonly tokens: readonly TokenSettings[];
  /** Beside the ledger; read by the command line of the same user. */
  readonly tokenFile: string;
  /** The ledger that the daemon's runs share. */
  readonly history: History;
  readonly version: string;
  readonly log: Logger;
  readonly cover: SecretCover;
  /** The queues that trigger runs. */
  readonly triggers?: () => readonly TriggerHealth[];
  /** The page at `/` and what it reads. */
  readonly inspector: FastifyPluginAsync | null;
}

export interface Api {
  /** `http://127.0.0.1:7420`, without a slash behind. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Starts listening.
 * @throws ExtractError API_UNAVAILABLE when the address is taken, or is not loopback and no tokens are configured
 */
export async function startApi(
  service: DaemonService,
  settings: ApiSettings,
): Promise<Api> {
  const { listen, log } = settings;
  const isLocal = isLoopback(listen.host);
  const isDrawn = settings.tokens.length === 0;
  if (!isLocal && isDrawn)
    throw new ExtractError(
      "API_UNAVAILABLE",
      `${listen.host} is reachable from other machines, and no tokens are configured`,
      { host: listen.host },
    );
  if (!isLocal)
    log.warn(
      { host: listen.host },
      "the API listens beyond this machine and speaks no TLS: put a proxy with TLS before it",
    );
  const drawn = isDrawn ? drawToken(settings.tokenFile) : null;
  const tokens: readonly TokenSettings[] =
    drawn === null
      ? settings.tokens
      : [{ name: "local", role: "admin", token: drawn }];
  const ring = new EventRing();
  const triggers = settings.triggers ?? (() => []);
  const metrics = new Metrics(service, settings.history, {
    ...{ ring, triggers },
    cover: (text) => settings.cover.coverText(text),
  });
  const unsubscribe = service.subscribe((event) => {
    ring.add(describeEvent(event, settings.cover));
    metrics.observe(event);
  });
  const app = await buildApp(
    {
      service,
      history: settings.history,
      finder: new RunFinder(service, settings.history),
      ring,
      metrics,
      triggers,
      version: settings.version,
      cover: settings.cover,
      noteOrder: ({ caller }, fields) =>
        log.info({ caller: caller?.name, ...fields }, "an order was taken"),
    },
    new TokenBook(tokens),
    isLocal,
    settings,
  );
  try {
    await app.listen({ host: listen.host, port: listen.port });
  } catch (cause) {
    unsubscribe();
    metrics.close();
    throw describeListenFault(cause, listen);
  }
  const url = urlOf(app, listen.host);
  if (drawn !== null)
    writeDaemonFile(settings.tokenFile, { url, token: drawn });
  const forget = noteAddress(url, drawn === null ? null : settings.tokenFile);
  log.info({ url }, "the API listens");
  return {
    url,
    close: async () => {
      unsubscribe();
      metrics.close();
      forget();
      await app.close();
    },
  };
}

async function buildApp(
  context: RouteContext,
  tokens: TokenBook,
  isLocal: boolean,
  { version, log, cover, inspector }: ApiSettings,
): Promise<FastifyInstance> {
  const app: FastifyInstance = fastify({
    loggerInstance: log.child({ part: "api" }) as FastifyBaseLogger,
    // what matters is logged by its meaning: orders, refusals, faults
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_MS_MAX,
    connectionTimeout: 0,
    routerOptions: {
      maxParamLength: Math.max(ID_LENGTH_MAX, STREAM_LENGTH_MAX) + 1,
    },
    forceCloseConnections: true,
    // what is sent must be what is meant: nothing is left out or turned into another type
    ajv: {
      customOptions: {
        removeAdditional: false,
        coerceTypes: false,
        allowUnionTypes: true,
      },
    },
    frameworkErrors: (error, _request, reply) => {
      const { status, body } = describeFault(error);
      void reply.code(status as never).send(body as never);
    },
    clientErrorHandler: (error, socket) => {
      if (!socket.writable) return;
      const status = error.code === "HPE_HEADER_OVERFLOW" ? 431 : 400;
      const fault = new HttpFault("REQUEST_INVALID", "this is no HTTP request");
      const body = JSON.stringify(describeFault(fault).body);
      socket.end(
        `HTTP/1.1 ${status} Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
      );
    },
  });
  app.server.maxConnections = CONNECTIONS_MAX;
  const known = new KnownRoutes(app);
  guard(app, {
    tokens,
    isLoopback: isLocal,
    warn: (message, fields) => log.warn(fields, message),
  });
  readQueries(app);
  app.addHook("onSend", async (_request, reply) => {
    void reply.headers({
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "x-frame-options": "DENY",
    });
    if (!reply.hasHeader("cache-control"))
      void reply.header("cache-control", "no-store");
  });
  // an order that is answered is kept, whatever becomes of this machine
  app.addHook("preSerialization", async (request) => {
    if (!isReading(request.method)) await context.service.settled();
  });
  app.addHook("preSerialization", async (_request, _reply, payload) =>
    cover.coverValue(payload),
  );
  app.setErrorHandler((error, request, reply) => {
    const { status, body, isOurs } = describeFault(error);
    if (isOurs) request.log.error({ err: error }, "a request failed");
    return reply.code(status).send(cover.coverValue(body) as ErrorBody);
  });
  app.setNotFoundHandler((request, reply) => {
    const methods = known.methodsOf(request.url);
    if (methods.length === 0)
      throw new HttpFault("NOT_FOUND", "there is no such path");
    void reply.header("allow", methods.join(", "));
    throw new HttpFault(
      "METHOD_NOT_ALLOWED",
      `${request.method} is none of ${methods.join(", ")}`,
    );
  });
  await describeApi(app, version);
  await app.register(async (scope) => {
    syncRoutes(scope, context);
    syncHistoryRoutes(scope, context);
    runRoutes(scope, context);
    eventRoutes(scope, context);
    healthRoutes(scope, context);
    metricsRoute(scope, context);
    serveDocument(scope);
  });
  if (inspector) await app.register(inspector);
  await app.ready();
  return app;
}

function isReading(method: string): boolean {
  return method === "GET" || method === "HEAD";
}

function urlOf(app: FastifyInstance, host: string): string {
  const address = app.server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function describeEvent(event: DaemonEvent, cover: SecretCover): RingEvent {
  const isOfRun = event.type === "run.event" || event.type === "queue.changed";
  const runId = event.type === "run.event" ? event.runId : null;
  return {
    sequence: event.sequence,
    type: event.type,
    sync: "sync" in event ? event.sync : null,
    runs: isOfRun ? [event.queueId, ...(runId === null ? [] : [runId])] : [],
    text: JSON.stringify(cover.coverValue(event)),
  };
}

function describeListenFault(
  cause: unknown,
  { host, port }: ListenAddress,
): ExtractError {
  const { code } = cause as NodeJS.ErrnoException;
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: "is taken",
    EACCES: "needs more rights",
    EADDRNOTAVAIL: "is no address of this machine",
    ENOTFOUND: "cannot be resolved",
  };
  return new ExtractError(
    "API_UNAVAILABLE",
    `${host}:${port} ${reasons[code ?? ""] ?? `cannot be listened on (${code ?? "?"})`}`,
    { host, port },
    { cause },
  );
}
