/** The inspector behind a server of its own: the same routes, guard and roles as in the daemon, fed by the test. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fastify } from "fastify";
import { describeFault } from "../../../daemon/api/errors.ts";
import { guard } from "../../../daemon/api/guard.ts";
import { readQueries } from "../../../daemon/api/query.ts";
import { TokenBook } from "../../../daemon/api/tokens.ts";
import { InspectorFeed } from "../../../daemon/inspector/feed.ts";
import { History } from "../../../daemon/inspector/history.ts";
import { createInspectorRoutes } from "../../../daemon/inspector/routes.ts";
import type { DaemonService } from "../../../daemon/service/types.ts";

export const tokens = {
  viewer: "viewer-token-0123456789",
  operator: "operator-token-0123456789",
} as const;

export interface InspectorServer {
  readonly url: string;
  readonly feed: InspectorFeed;
  readonly history: History;
  /** What was ordered, in order. */
  readonly orders: readonly unknown[];
  /** As when the network is lost for a moment. */
  cutConnections(): void;
  close(): Promise<void>;
}

export async function startInspector(port = 0): Promise<InspectorServer> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-inspector-"));
  const history = new History(join(folder, "inspections"));
  const feed = new InspectorFeed({ history });
  const orders: unknown[] = [];
  const service: Pick<DaemonService, "order" | "orderActor"> = {
    order: (...order) => void orders.push(order),
    orderActor: async (...order) => void orders.push(order),
  };
  const app = fastify({
    forceCloseConnections: true,
    ajv: {
      customOptions: {
        removeAdditional: false,
        coerceTypes: false,
        allowUnionTypes: true,
      },
    },
  });
  readQueries(app);
  guard(app, {
    tokens: new TokenBook(
      Object.entries(tokens).map(([role, token]) => ({
        name: `the ${role}`,
        role: role as keyof typeof tokens,
        token,
      })),
    ),
    isLoopback: true,
    warn: () => {},
  });
  app.setErrorHandler((error, _request, reply) => {
    const { status, body } = describeFault(error);
    return reply.code(status).send(body);
  });
  await app.register(createInspectorRoutes({ feed, history, service }));
  const url = await app.listen({ host: "127.0.0.1", port });
  return {
    url,
    feed,
    history,
    orders,
    cutConnections: () => app.server.closeAllConnections(),
    async close() {
      await app.close();
      await feed.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
