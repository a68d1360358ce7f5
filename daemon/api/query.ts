/** Query strings are text; where a route's schema says number, boolean or list, they are read as such before the check. */
import type { FastifyInstance } from "fastify";

interface Typed {
  readonly properties?: Readonly<
    Record<string, { readonly type?: string | readonly string[] }>
  >;
}

/** Bodies are not touched: there `"5"` is text, and a number was meant by nobody. */
export function readQueries(app: FastifyInstance): void {
  app.addHook("preValidation", async (request) => {
    const schema = request.routeOptions.schema?.querystring as
      | Typed
      | undefined;
    const query = request.query as Record<string, unknown>;
    for (const [name, { type }] of Object.entries(schema?.properties ?? {}))
      if (name in query) query[name] = readAs(type, query[name]);
  });
}

function readAs(
  type: string | readonly string[] | undefined,
  value: unknown,
): unknown {
  if (type === "array" && typeof value === "string") return value.split(",");
  if (
    type === "integer" &&
    typeof value === "string" &&
    /^\d{1,15}$/.test(value)
  )
    return Number(value);
  if (type === "boolean" && (value === "true" || value === "false"))
    return value === "true";
  return value;
}
