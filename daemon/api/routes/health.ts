/** For supervisors and load balancers: nothing in these answers is worth a token. */
import type { FastifyInstance } from "fastify";
import { reference } from "../schemas.ts";
import type { RouteContext } from "./context.ts";
import { API, answers } from "./context.ts";

export function healthRoutes(
  app: FastifyInstance,
  { service, history, triggers, version }: RouteContext,
): void {
  app.get("/health/live", {
    config: { role: "public" },
    schema: {
      tags: ["health"],
      summary: "The process answers",
      security: [],
      response: answers(200, "It does.", reference("Health")),
    },
    handler: async () => ({ status: "ok" }),
  });

  app.get("/health/ready", {
    config: { role: "public" },
    schema: {
      tags: ["health"],
      summary: "The daemon takes orders, and its ledger answers",
      description:
        "Queues that trigger runs are told with their state; one whose brokers are away makes the daemon no less ready for others.",
      security: [],
      response: {
        ...answers(200, "It does.", reference("Health")),
        503: {
          description: "It is draining, or its ledger does not answer.",
          content: { "application/json": { schema: reference("Health") } },
        },
      },
    },
    handler: async (request, reply) => {
      if (service.isDraining)
        return reply.code(503).send({ status: "draining" });
      try {
        history.listRuns({ limit: 1 });
        // what cannot be made durable any more is known at once
        await Promise.race([service.settled(), Promise.resolve()]);
      } catch (error) {
        request.log.error({ err: error }, "the ledger does not answer");
        return reply.code(503).send({ status: "failing" });
      }
      const states = triggers().map(({ kind, state }) => ({ kind, state }));
      return {
        status: "ok",
        ...(states.length === 0 ? {} : { triggers: states }),
      };
    },
  });

  app.get(`${API}/daemon`, {
    config: { role: "viewer" },
    schema: {
      tags: ["health"],
      summary: "This daemon, and the queues that trigger its runs",
      response: answers(200, "As it is now.", reference("Daemon")),
    },
    handler: async () => ({
      id: service.id,
      version,
      startedAt: service.startedAt,
      isDraining: service.isDraining,
      triggers: triggers(),
    }),
  });
}
