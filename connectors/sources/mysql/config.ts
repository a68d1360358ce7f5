/** The MySQL source of a YAML file; help text and JSON Schema derive from it. */
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
      "mysql://user:password@host:port/database or mariadb://…, with ssl-mode, ssl-ca, ssl-cert, ssl-key or socket behind a question mark. The user needs SELECT on the tables.",
  });

export const mysqlSource = z.strictObject({
  kind: z.literal("mysql"),
  url: sourceUrl,
});
