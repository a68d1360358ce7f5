/** Vitest's global set-up of the project that needs MySQL and MariaDB: one server of each for all of its files. */
import type { TestProject } from "vitest/node";
import { provideMysql, type MysqlFlavour } from "./mysql.ts";
import { isContinuousIntegration } from "./postgres.ts";

/** What a test asks for by `inject`. */
export interface ProvidedServer {
  /** Null when there is no server and this is not CI. */
  readonly url: string | null;
  /** Why there is none. */
  readonly reason: string;
}

declare module "vitest" {
  interface ProvidedContext {
    mysqlServer: ProvidedServer;
    mariadbServer: ProvidedServer;
  }
}

const keys = { mysql: "mysqlServer", mariadb: "mariadbServer" } as const;

export default async function setup(
  project: TestProject,
  provide: typeof provideMysql = provideMysql,
): Promise<() => Promise<void>> {
  const flavours: readonly MysqlFlavour[] = ["mysql", "mariadb"];
  const started = await Promise.allSettled(
    flavours.map(async (flavour) => provide(flavour)),
  );
  const services = started.flatMap((one) =>
    one.status === "fulfilled" ? [one.value] : [],
  );
  const stop = async () => {
    await Promise.all(services.map((service) => service.stop()));
  };
  for (const [i, one] of started.entries()) {
    const flavour = flavours[i] ?? "mysql";
    if (one.status === "fulfilled") {
      project.provide(keys[flavour], { url: one.value.url, reason: "" });
      continue;
    }
    if (isContinuousIntegration()) {
      await stop();
      throw one.reason;
    }
    project.provide(keys[flavour], { url: null, reason: String(one.reason) });
  }
  return stop;
}
