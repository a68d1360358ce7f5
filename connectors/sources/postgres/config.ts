/** The Postgres source of a YAML file; help text and JSON Schema derive from it. */
import { z } from "zod";
import { ExtractError } from "../../../proto/error.ts";
import { parseSourceUrl } from "./url.ts";

const sourceUrl = z
  .string()
  .superRefine((url, context) => {
    try {
      parseSourceUrl(url);
    } catch (error) {
      if (!(error instanceof ExtractError)) throw error;
      context.addIssue({ code: "custom", message: error.message });
    }
  })
  .meta({
    secret: true,
    description:
      "postgres://user:password@host:port/database, with libpq's parameters behind a question mark. The user needs SELECT on the tables.",
  });

export const postgresSource = z.strictObject({
  kind: z.literal("postgres"),
  url: sourceUrl,
});
