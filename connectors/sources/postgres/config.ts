/** The Postgres source of a YAML file; help text and JSON Schema derive from it. */
import { z } from "zod";
import { buildUrlSchema } from "../url-schema.ts";
import { parseSourceUrl } from "./url.ts";

export const postgresSource = z.strictObject({
  kind: z.literal("postgres"),
  url: buildUrlSchema(
    parseSourceUrl,
    "postgres://user:password@host:port/database, with libpq's parameters behind a question mark. The user needs SELECT on the tables.",
  ),
});
