/** The SQL Server source of a YAML file; help text and JSON Schema derive from it. */
import { z } from "zod";
import { buildUrlSchema } from "../url-schema.ts";
import { parseSourceUrl } from "./url.ts";

export const mssqlSource = z.strictObject({
  kind: z.literal("mssql"),
  url: buildUrlSchema(
    parseSourceUrl,
    "sqlserver://user:password@host:port/database, with encrypt, trustServerCertificate, ca, instance and applicationIntent behind a question mark. The user needs SELECT on the tables.",
  ),
});
