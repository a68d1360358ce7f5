/** The SQL Server source of a YAML file; help text and JSON Schema derive from it. */
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
      "sqlserver://user:password@host:port/database, with encrypt, trustServerCertificate, ca, instance and applicationIntent behind a question mark. The user needs SELECT on the tables.",
  });

export const mssqlSource = z.strictObject({
  kind: z.literal("mssql"),
  url: sourceUrl,
});
