/** What may be said of a connector of somebody else that is written to. Help text and JSON Schema derive from it. */
import { z } from "zod";
import { programShape, seconds, text } from "../../airbyte/program-schema.ts";

export const airbyteDestinationSchema = z.strictObject({
  kind: z.literal("airbyte").optional(),
  ...programShape,
  name: text
    .optional()
    .describe(
      "Names the place that it writes to: a copy under another name begins anew. Default: made from the command and its configuration, without what looks like a secret.",
    ),
  connectDeadline: seconds
    .optional()
    .describe(
      "Seconds until it has begun to read, or has connected to all sockets. Default: 60.",
    ),
  stallDeadline: seconds
    .optional()
    .describe(
      "Seconds in which it may take no record while there are some. Default: 900.",
    ),
  stateDeadline: seconds
    .optional()
    .describe(
      "Seconds until a state comes back behind the records it covers, and until it ends behind the last one. Default: 1800.",
    ),
});

export type AirbyteDestinationSettings = z.output<
  typeof airbyteDestinationSchema
>;
