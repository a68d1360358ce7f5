/** What is said of any connector that somebody else wrote. Help text and JSON Schema derive from it. */
import { z } from "zod";

const TEXT_MAX = 65_536;
const ARGUMENTS_MAX = 1_000;
const SECONDS_MAX = 7 * 86_400;
export const SOCKETS_MAX = 64;

export const text = z.string().min(1).max(TEXT_MAX);
export const seconds = z.number().min(0.1).max(SECONDS_MAX);

/** How it is started, and how records come or go. */
export const programShape = {
  command: z
    .array(text)
    .min(1)
    .max(ARGUMENTS_MAX)
    .optional()
    .describe(
      "The connector's executable with its first arguments; the protocol's verb (`read`, `write` …) is put behind them.",
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
  architecture: z
    .enum(["stdio", "socket"])
    .optional()
    .describe(
      "How records come and go: over stdin and stdout, or over sockets, for connectors that can. Default: stdio.",
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
} as const;
