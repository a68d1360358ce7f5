/** A connector of somebody else as a URL: `airbyte:?command=["…"]&config={…}`, each setting as JSON or as plain text. */
import { ExtractError } from "../../../proto/error.ts";
import {
  airbyteDestinationSchema,
  type AirbyteDestinationSettings,
} from "./config-schema.ts";

/** @throws ExtractError USAGE naming the setting that is wrong; no value of it is shown */
export function parseDestinationUrl(url: string): AirbyteDestinationSettings {
  if (!/^airbyte:(\?|$)/i.test(url))
    throw new ExtractError(
      "USAGE",
      'a connector is written airbyte:?command=["…"]&config={…}',
    );
  const given: Record<string, unknown> = {};
  for (const [name, value] of new URL(url).searchParams)
    given[name] = readParameter(value);
  if (typeof given["command"] === "string")
    given["command"] = given["command"].split(" ").filter((word) => word);
  return checkSettings(given);
}

function checkSettings(given: unknown): AirbyteDestinationSettings {
  const read = airbyteDestinationSchema.safeParse(given);
  if (!read.success) {
    const [issue] = read.error.issues;
    const path = issue?.path.join(".") ?? "";
    throw new ExtractError(
      "USAGE",
      `${path === "" ? "" : `${path}: `}${issue?.message ?? "wrong"}`,
    );
  }
  const { command, image } = read.data;
  if ((command === undefined) === (image === undefined))
    throw new ExtractError(
      "USAGE",
      "a connector is a `command` or an `image`, one of them",
    );
  return read.data;
}

function readParameter(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}
