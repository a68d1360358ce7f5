/** What may be said of a foreign source. Help text and JSON Schema derive from it. */
import { z } from "zod";
import {
  programShape,
  seconds,
  SOCKETS_MAX,
  text,
} from "../../airbyte/program-schema.ts";
import { ExtractError } from "../../../proto/error.ts";
import { META_COLUMNS } from "./record-columns.ts";
import { readParameters } from "./url.ts";

export { META_COLUMNS };

/** A command, or the image of a container, that speaks the Airbyte protocol. */
const shape = {
  ...programShape,
  catalog: text
    .optional()
    .describe(
      "File of a catalog that takes the place of what `discover` would say.",
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
  /** Of a configuration that was taken out. */
  configDigest: text.optional(),
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

/** @throws ExtractError USAGE naming the setting that is wrong; no value of it is shown */
export function readSettings(url: string): AirbyteSettings {
  const read = airbyteSettings.safeParse(readParameters(url));
  if (!read.success) {
    const [issue] = read.error.issues;
    const path = issue?.path.join(".") ?? "";
    throw new ExtractError(
      "USAGE",
      `airbyte: ${path === "" ? "" : `${path}: `}${issue?.message ?? "wrong"}`,
    );
  }
  const { config, configDigest } = read.data;
  if (configDigest !== undefined && config === undefined)
    throw new ExtractError(
      "USAGE",
      "the connector's configuration is not kept in the ledger: run the sync again from its file, which goes on with the unfinished run",
    );
  return read.data;
}
