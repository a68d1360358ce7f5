import { z } from "zod";
import { ExtractError } from "../../proto/error.ts";

/** A source's URL in a YAML file: what `parse` refuses is a fault at its place. Help text and JSON Schema derive from it. */
export function buildUrlSchema(
  parse: (url: string) => unknown,
  description: string,
) {
  return z
    .string()
    .superRefine((url, context) => {
      try {
        parse(url);
      } catch (error) {
        if (!(error instanceof ExtractError)) throw error;
        context.addIssue({ code: "custom", message: error.message });
      }
    })
    .meta({ secret: true, description });
}
