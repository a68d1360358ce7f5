/** What may be said of a foreign source. Help text and JSON Schema derive from it. */
import { z } from "zod";
import {
  programShape,
  seconds,
  SOCKETS_MAX,
  text,
} from "../../airbyte/program-schema.ts";
import { readConfiguredCatalog } from "../../airbyte/messages.ts";
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
  files: z
    .boolean()
    .optional()
    .describe(
      "The files of streams that are made of files are copied whole, beside their records. Default: false.",
    ),
  stagingDirectory: text
    .optional()
    .describe(
      "Folder in which the connector stages the files that it hands over. Default: that of temporary files.",
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

/** Nothing is read before this file is there. */
const after = text.optional();

/** Where messages come from when no connector is started: this process's stdin, or sockets that a peer listens on. */
const inputSchema = z.union([
  /** What an earlier input has left is brought to its end. */
  z.strictObject({
    kind: z.literal("nothing"),
    lanes: z.int().min(1).max(SOCKETS_MAX),
  }),
  z.strictObject({ kind: z.literal("stdin"), after }),
  z.strictObject({
    kind: z.literal("sockets"),
    after,
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

/** Whether files are to be copied, of any stream. */
export function copiesFiles({ files, configured }: AirbyteSettings): boolean {
  if (configured === undefined) return files === true;
  return readConfiguredCatalog(configured).streams.some(
    ({ include_files: included }) => included === true,
  );
}

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
