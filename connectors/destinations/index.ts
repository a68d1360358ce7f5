/** Loads the driver of a destination. Only the one that is used: a client and its packages cost tens of milliseconds. */
import type { DestinationConfig } from "../../proto/control.ts";
import { ExtractError } from "../../proto/error.ts";
import type { DestinationDriver } from "./destination.ts";

const loaders: Readonly<Record<string, () => Promise<DestinationDriver>>> = {
  file: async () => (await import("./file/driver.ts")).fileDriver,
  s3: async () => (await import("./s3/driver.ts")).s3Driver,
  postgres: async () =>
    (await import("./postgres/driver.ts")).postgresDestinationDriver,
  airbyte: async () =>
    (await import("./airbyte/driver.ts")).airbyteDestinationDriver,
};

/** @throws ExtractError USAGE for a kind that is no destination's */
export async function loadDestination({
  kind,
}: DestinationConfig): Promise<DestinationDriver> {
  // modules load at once: whoever asks, a machine's step perhaps, is to go on first
  await Promise.resolve();
  const load = loaders[kind];
  if (load) return load();
  throw new ExtractError("USAGE", `${kind} is no destination`, { kind });
}
