/** Prometheus's text format, for its scraper: a token of a viewer is enough. */
import type { FastifyInstance } from "fastify";
import type { RouteContext } from "./context.ts";

export function metricsRoute(
  app: FastifyInstance,
  { metrics, cover }: RouteContext,
): void {
  app.get("/metrics", {
    config: { role: "viewer" },
    schema: {
      tags: ["health"],
      summary: "Metrics for Prometheus",
      produces: ["text/plain"],
    },
    handler: async (_request, reply) => {
      const text = await metrics.render((part) => cover.coverText(part));
      return reply.type(metrics.contentType).send(text);
    },
  });
}
