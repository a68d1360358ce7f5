import { expect } from "vitest";
import { ask, SYNC, test, tokens } from "./support.ts";

interface Operation {
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly security?: readonly unknown[];
  readonly "x-role"?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly schema: object;
  }[];
  readonly requestBody?: {
    readonly content: Readonly<Record<string, unknown>>;
  };
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content?: object }>
  >;
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, { readonly examples?: unknown }>>;
    readonly securitySchemes: object;
  };
}

/** Method, path, role: written down by hand, so that a route that changes is noticed. */
const routes = [
  ["get", "/api/v1/syncs", "viewer"],
  ["get", "/api/v1/syncs/{name}", "viewer"],
  ["post", "/api/v1/syncs/{name}/runs", "operator"],
  ["post", "/api/v1/syncs/{name}/pause", "operator"],
  ["post", "/api/v1/syncs/{name}/resume", "operator"],
  ["post", "/api/v1/syncs/{name}/streams/{stream}/reset", "admin"],
  ["post", "/api/v1/syncs/{name}/streams/{stream}/backfill", "admin"],
  ["get", "/api/v1/syncs/{name}/timeline", "viewer"],
  ["get", "/api/v1/syncs/{name}/counts", "viewer"],
  ["get", "/api/v1/syncs/{name}/streams", "viewer"],
  ["get", "/api/v1/syncs/{name}/streams/{stream}/runs", "viewer"],
  ["get", "/api/v1/daemon", "viewer"],
  ["get", "/api/v1/runs", "viewer"],
  ["get", "/api/v1/runs/{id}", "viewer"],
  ["get", "/api/v1/runs/{id}/streams", "viewer"],
  ["get", "/api/v1/runs/{id}/partitions", "viewer"],
  ["get", "/api/v1/runs/{id}/states", "viewer"],
  ["get", "/api/v1/runs/{id}/plan", "viewer"],
  ["get", "/api/v1/runs/{id}/timeline", "viewer"],
  ["post", "/api/v1/runs/{id}/cancel", "operator"],
  ["post", "/api/v1/runs/{id}/pause", "operator"],
  ["post", "/api/v1/runs/{id}/resume", "operator"],
  ["post", "/api/v1/runs/{id}/retry", "operator"],
  ["post", "/api/v1/runs/{id}/replay", "operator"],
  ["get", "/api/v1/queue", "viewer"],
  ["get", "/api/v1/queue/{id}", "viewer"],
  ["get", "/api/v1/events", "viewer"],
  ["get", "/health/live", "public"],
  ["get", "/health/ready", "public"],
  ["get", "/metrics", "viewer"],
  ["get", "/api/openapi.json", "public"],
] as const;

async function read(url: string): Promise<Document> {
  const { json } = await ask(url, "GET", "/api/openapi.json", { token: null });
  return json as unknown as Document;
}

test("every route stands in the document with its role, and the document names no other", async ({
  scene,
}) => {
  const { url } = await scene.start();
  const { openapi, info, paths } = await read(url);
  expect(openapi).toBe("3.1.0");
  expect(info).toMatchObject({ title: "Millrace", version: "0.0.0" });
  const found = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [
      method,
      path,
      operation["x-role"],
    ]),
  );
  const sort = (list: readonly (readonly unknown[])[]) =>
    list.map((route) => route.join(" ")).toSorted();
  expect(sort(found)).toEqual(sort(routes));
});

test("every operation says what it is, what it takes, and how its faults look", async ({
  scene,
}) => {
  const { url } = await scene.start();
  const { paths, components } = await read(url);
  for (const [path, methods] of Object.entries(paths))
    for (const operation of Object.values(methods)) {
      expect(operation.summary, path).toBeTruthy();
      expect(operation.tags, path).toHaveLength(1);
      const isPublic = operation["x-role"] === "public";
      expect(operation.security, path).toEqual(isPublic ? [] : undefined);
      const inPath = (operation.parameters ?? []).filter(
        (parameter) => parameter.in === "path",
      );
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      expect(inPath.map(({ name }) => name)).toEqual(named);
      expect(inPath.every(({ required }) => required)).toBe(true);
      if (!path.startsWith("/api/v1") || path.endsWith("/events")) continue;
      expect(operation.responses["4XX"]?.content, path).toEqual({
        "application/json": { schema: { $ref: "#/components/schemas/Error" } },
      });
    }
  const trigger = paths["/api/v1/syncs/{name}/runs"]?.["post"];
  expect(JSON.stringify(trigger?.requestBody)).toContain(
    "#/components/schemas/Trigger",
  );
  expect(trigger?.parameters?.map(({ name }) => name)).toContain(
    "idempotency-key",
  );
  for (const name of ["Run", "Sync", "Trigger", "Error", "Receipt"])
    expect(components.schemas[name]?.examples, name).toBeTruthy();
});

test("every reference of the document leads somewhere", async ({ scene }) => {
  const { url } = await scene.start();
  const document = await read(url);
  const references = [
    ...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g),
  ].map(([, reference]) => String(reference));
  expect(references.length).toBeGreaterThan(20);
  for (const reference of references) {
    const found = reference
      .replace(/^#\//, "")
      .split("/")
      .reduce<unknown>(
        (at, step) => (at as Record<string, unknown> | undefined)?.[step],
        document,
      );
    expect(found, reference).toBeDefined();
  }
});

test("a viewer may read everything that the document gives to viewers", async ({
  scene,
}) => {
  const { url } = await scene.start();
  const { queueId } = scene.service.trigger({
    sync: SYNC,
    scope: { streams: null, ranges: null, window: null },
    key: null,
    origin: { kind: "api", caller: "test" },
  });
  for (const [method, path, role] of routes) {
    if (method !== "get" || path.endsWith("/events")) continue;
    const real = path
      .replace("/queue/{id}", `/queue/${queueId}`)
      .replace("{id}", scene.runId)
      .replace("{name}", SYNC)
      .replace("{stream}", scene.ledger.streamsOf(scene.runId)[0]?.name ?? "");
    const { status, text } = await ask(url, "GET", real, {
      token: role === "public" ? null : tokens.viewer,
    });
    expect(status, `${real} ${text}`).toBe(200);
  }
});
