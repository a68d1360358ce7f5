/** How a platform wants records: the environment that Airbyte gives to both sides. Pure. */
import { isAbsolute } from "node:path";
import { ExtractError } from "../../proto/error.ts";

export type DataChannel =
  | { readonly medium: "stdio" }
  | {
      readonly medium: "sockets";
      readonly format: "jsonl" | "protobuf" | "columnar";
      readonly paths: readonly string[];
    };

const formats = {
  JSONL: "jsonl",
  PROTOBUF: "protobuf",
  COLUMNAR: "columnar",
} as const;

const PATHS_MAX = 1_024;
/** A socket's address has no room for more (`sun_path`, its end included). */
const PATH_BYTES_MAX = 107;

/** @throws ExtractError USAGE naming the variable */
export function readDataChannel(
  env: Readonly<Record<string, string | undefined>>,
): DataChannel {
  const medium = (env["DATA_CHANNEL_MEDIUM"] || "STDIO").toUpperCase();
  const format = (env["DATA_CHANNEL_FORMAT"] || "JSONL").toUpperCase();
  if (medium !== "STDIO" && medium !== "SOCKET")
    throw refuse("DATA_CHANNEL_MEDIUM", medium, "STDIO or SOCKET");
  if (!Object.hasOwn(formats, format))
    throw refuse(
      "DATA_CHANNEL_FORMAT",
      format,
      Object.keys(formats).join(", "),
    );
  if (medium === "STDIO") {
    if (format !== "JSONL")
      throw refuse("DATA_CHANNEL_FORMAT", format, "JSONL with STDIO");
    return { medium: "stdio" };
  }
  const paths = (env["DATA_CHANNEL_SOCKET_PATHS"] ?? "")
    .split(",")
    .map((path) => path.trim())
    .filter((path) => path !== "");
  if (paths.length === 0 || paths.length > PATHS_MAX)
    throw refuse(
      "DATA_CHANNEL_SOCKET_PATHS",
      `${paths.length} paths`,
      `1 to ${PATHS_MAX} paths`,
    );
  for (const path of paths)
    if (!isAbsolute(path) || Buffer.byteLength(path) > PATH_BYTES_MAX)
      throw refuse(
        "DATA_CHANNEL_SOCKET_PATHS",
        path,
        `absolute paths of at most ${PATH_BYTES_MAX} bytes`,
      );
  if (new Set(paths).size !== paths.length)
    throw refuse("DATA_CHANNEL_SOCKET_PATHS", "a path twice", "other paths");
  return {
    medium: "sockets",
    format: formats[format as keyof typeof formats],
    paths,
  };
}

function refuse(name: string, found: string, wanted: string): ExtractError {
  return new ExtractError("USAGE", `${name} is ${found}; it may be ${wanted}`, {
    name,
  });
}
