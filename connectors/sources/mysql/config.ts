/** The MySQL source of a YAML file; help text and JSON Schema derive from it. */
import { z } from "zod";
import { buildUrlSchema } from "../url-schema.ts";
import { parseSourceUrl } from "./url.ts";

export const mysqlSource = z.strictObject({
  kind: z.literal("mysql"),
  url: buildUrlSchema(
    parseSourceUrl,
    "mysql://user:password@host:port/database or mariadb://…, with ssl-mode, ssl-ca, ssl-cert, ssl-key or socket behind a question mark. The user needs SELECT on the tables.",
  ),
});
