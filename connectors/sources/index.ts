/** Loads the driver of a source. Only the one that is used: a driver and its packages cost tens of milliseconds. */
import type { SourceDriver } from "./source.ts";
import { readSourceKind, type SourceKind } from "./url.ts";

const loaders: Readonly<Record<SourceKind, () => Promise<SourceDriver>>> = {
  postgres: async () => (await import("./postgres/driver.ts")).postgresDriver,
  mysql: async () => (await import("./mysql/driver.ts")).mysqlDriver,
  mssql: async () => (await import("./mssql/driver.ts")).mssqlDriver,
  kafka: async () =>
    (await import("./debezium/topics/driver.ts")).createTopicsDriver(
      loadSource,
    ),
  airbyte: async () => (await import("./airbyte/driver.ts")).airbyteDriver,
  generator: async () =>
    (await import("./generator/driver.ts")).generatorDriver,
};

/** @throws ExtractError USAGE for a scheme that is no source's */
export async function loadSource(url: string): Promise<SourceDriver> {
  // modules load at once: whoever asks, a machine's step perhaps, is to go on first
  await Promise.resolve();
  return loaders[readSourceKind(url)]();
}
