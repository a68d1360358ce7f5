/** Prometheus's text format, for its scraper: a token of a viewer is enough. */
import type { FastifyInstance } from "fastify";
import type { RouteContext } from "./context.ts";

export function metricsRoute(
  app: FastifyInstance,
  { metrics }: RouteContext,
): void {
  app.get("/metrics", {
    config: { role: "viewer" },
    schema: {
      tags: ["health"],
      summary: "Metrics for Prometheus",
      produces: ["text/plain"],
    },
    handler: async (_request, reply) =>
      reply.type(metrics.contentType).send(await metrics.render()),
  });
}
