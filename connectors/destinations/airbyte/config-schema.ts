/** What may be said of a connector of somebody else that is written to. Help text and JSON Schema derive from it. */
import { z } from "zod";

const TEXT_MAX = 65_536;
const ARGUMENTS_MAX = 1_000;
const SOCKETS_MAX = 64;
const SECONDS_MAX = 7 * 86_400;

const text = z.string().min(1).max(TEXT_MAX);
const seconds = z.number().min(0.1).max(SECONDS_MAX);

export const airbyteDestinationSchema = z.strictObject({
  kind: z.literal("airbyte").optional(),
  command: z
    .array(text)
    .min(1)
    .max(ARGUMENTS_MAX)
    .optional()
    .describe(
      "The connector's executable with its first arguments: `write` is put behind them.",
    ),
  image: text
    .optional()
    .describe(
      "Image of the connector, which docker or podman runs in a container.",
    ),
  runtime: text
    .optional()
    .describe(
      "Path or name of what runs images. Default: docker, or podman where there is no docker.",
    ),
  runtimeArguments: z
    .array(text)
    .max(ARGUMENTS_MAX)
    .optional()
    .describe("More arguments for its `run`, such as --network=host."),
  config: z
    .record(z.string(), z.unknown())
    .optional()
    .describe("The connector's own configuration, as its `spec` describes it."),
  env: z
    .record(z.string(), z.string())
    .optional()
    .describe("Variables of its environment, beside ours."),
  name: text
    .optional()
    .describe(
      "Names the place that it writes to: a copy under another name begins anew. Default: made from the command and its configuration, without what looks like a secret.",
    ),
  architecture: z
    .enum(["stdio", "socket"])
    .optional()
    .describe(
      "How records go: to its stdin, or over sockets that it connects to, for connectors that can. Default: stdio.",
    ),
  format: z
    .enum(["jsonl", "protobuf"])
    .optional()
    .describe("Of records over sockets. Default: protobuf."),
  sockets: z
    .int()
    .min(1)
    .max(SOCKETS_MAX)
    .optional()
    .describe("How many sockets. Default: 2."),
  ipc: z
    .unknown()
    .optional()
    .describe(
      "The connector's `connectorIPCOptions`, from its metadata: what it can do over sockets.",
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
