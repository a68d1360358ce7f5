/** What may be said of a foreign source. Help text and JSON Schema derive from it. */
import { z } from "zod";
import { META_COLUMNS } from "./record-columns.ts";

const TEXT_MAX = 65_536;
const ARGUMENTS_MAX = 1_000;
const SOCKETS_MAX = 64;
const SECONDS_MAX = 7 * 86_400;

const text = z.string().min(1).max(TEXT_MAX);
const seconds = z.int().min(1).max(SECONDS_MAX);

/** A command, or the image of a container, that speaks the Airbyte protocol. */
const shape = {
  command: z
    .array(text)
    .min(1)
    .max(ARGUMENTS_MAX)
    .optional()
    .describe(
      "The connector's executable with its first arguments: `spec`, `check`, `discover` or `read` is put behind them.",
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
  catalog: text
    .optional()
    .describe(
      "File of a catalog that takes the place of what `discover` would say.",
    ),
  architecture: z
    .enum(["stdio", "socket"])
    .optional()
    .describe(
      "How records come: over its stdout, or over sockets that it listens on, for connectors that can. Default: stdio.",
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
  numbers: z
    .enum(["float64", "decimalText"])
    .optional()
    .describe(
      "What a `number` becomes: a double, and one that a double would round is an error; or its digits as text. Default: float64.",
    ),
  meta: z
    .array(z.enum(META_COLUMNS))
    .max(META_COLUMNS.length)
    .optional()
    .describe(
      "Columns that tell of each record: its identifier, when it was extracted, what was changed in it, its generation. Default: none.",
    ),
  startDeadline: seconds
    .optional()
    .describe(
      "Seconds until its first message, or until it listens on its sockets. Default: 300.",
    ),
  silenceDeadline: seconds
    .optional()
    .describe(
      "Seconds without a message before it is given up. Default: 3600.",
    ),
} as const;

export const airbyteSource = z.strictObject({
  kind: z.literal("airbyte").optional(),
  ...shape,
});

/** Where messages come from when no connector is started: this process's stdin, or sockets that a peer listens on. */
const inputSchema = z.union([
  z.strictObject({ kind: z.literal("stdin") }),
  z.strictObject({
    kind: z.literal("sockets"),
    paths: z.array(text).min(1).max(SOCKETS_MAX),
    format: z.enum(["JSONL", "PROTOBUF", "COLUMNAR"]),
  }),
]);

export const airbyteSettings = z.strictObject({
  ...shape,
  /** What the platform has given to an executable of ours, as `ConfiguredAirbyteCatalog`. */
  configured: z.record(z.string(), z.unknown()).optional(),
  input: inputSchema.optional(),
});

export type AirbyteSettings = z.output<typeof airbyteSettings>;

export const DEFAULTS = {
  architecture: "stdio",
  format: "protobuf",
  sockets: 2,
  numbers: "float64",
  startDeadline: 300,
  silenceDeadline: 3_600,
} as const;
