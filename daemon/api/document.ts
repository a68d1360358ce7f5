/** The OpenAPI document: made from the routes' own schemas, so that it cannot say anything else than they do. */
import swagger from "@fastify/swagger";
import type { FastifyInstance } from "fastify";
import { components } from "./schemas.ts";

const DOCUMENT_PATH = "/api/openapi.json";

const description = `Syncs, runs and orders of one Millrace daemon.

Send \`Authorization: Bearer <token>\`. A token has a role: a **viewer** reads, an **operator** also starts, pauses and
cancels, an **admin** also makes a sync forget what it has copied. Each operation names the role it needs as \`x-role\`.
Every fault has one shape, \`{"error": {"code", "message", "help", "details"}}\`.`;

export async function describeApi(
  app: FastifyInstance,
  version: string,
): Promise<void> {
  for (const [name, schema] of Object.entries(components))
    app.addSchema({ $id: name, ...schema });
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Millrace", version, description },
      components: {
        securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
      },
      security: [{ bearer: [] }],
      tags: [
        { name: "syncs", description: "What is configured." },
        { name: "runs", description: "What was done and is being done." },
        { name: "orders", description: "What can be done to a run." },
        { name: "queue", description: "What waits for its turn." },
        { name: "events", description: "What happens, as it happens." },
        { name: "health", description: "For supervisors." },
      ],
    },
    refResolver: {
      buildLocalReference: (schema, _base, _fragment, at) =>
        typeof schema["$id"] === "string" ? schema["$id"] : `shape-${at}`,
    },
    transform: ({ schema, url, route }) => ({
      schema: { ...schema, "x-role": route.config?.role ?? "viewer" } as object,
      url,
    }),
  });
}

/** After the last route. */
export function serveDocument(app: FastifyInstance): void {
  app.get(
    DOCUMENT_PATH,
    {
      config: { role: "public" },
      schema: {
        tags: ["health"],
        summary: "This document",
        security: [],
      },
    },
    async () => app.swagger(),
  );
}
