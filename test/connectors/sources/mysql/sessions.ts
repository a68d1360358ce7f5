/** Connections of the source's own, for tests on real servers of both flavours. */
import { MysqlConnection } from "../../../../connectors/sources/mysql/connection.ts";
import { discover } from "../../../../connectors/sources/mysql/discover.ts";
import type {
  MysqlDiscovery,
  MysqlStream,
} from "../../../../connectors/sources/mysql/stream.ts";
import { parseSourceUrl } from "../../../../connectors/sources/mysql/url.ts";
import type { StreamSelection } from "../../../../connectors/sources/source.ts";
import { testOn, type MysqlFlavour } from "../../../fixtures/mysql.ts";

export { describe, expect } from "vitest";
export { flavours } from "../../../fixtures/mysql.ts";

export interface Sessions {
  /** As the administrator, in the test's own database. */
  readonly connection: MysqlConnection;
  /** Closed after the test. */
  connect(url: string): Promise<MysqlConnection>;
}

/** `test` with `server`, a database on that flavour of server, and `sessions` on it. */
export function sessionsOn(flavour: MysqlFlavour) {
  return testOn(flavour).extend<{ sessions: Sessions }>({
    sessions: async ({ server }, use) => {
      const open: MysqlConnection[] = [];
      const connect = async (url: string) => {
        const connection = await MysqlConnection.connect(
          parseSourceUrl(url, {}),
        );
        open.push(connection);
        return connection;
      };
      await use({ connection: await connect(server.url), connect });
      for (const connection of open) await connection.close();
    },
  });
}

export function select(
  changes: Partial<StreamSelection> = {},
): StreamSelection {
  return { include: [], exclude: [], columns: null, ...changes };
}

export function streamNamed(
  discovery: MysqlDiscovery,
  name: string,
): MysqlStream {
  const stream = discovery.streams.find((one) => one.schema.name === name);
  if (stream === undefined) {
    throw new Error(
      `no stream ${name} in ${discovery.streams.map((one) => one.schema.name).join(", ")}; ${discovery.problems.map(({ message }) => message).join(", ")}`,
    );
  }
  return stream;
}

export async function discoverOne(
  connection: MysqlConnection,
  name: string,
): Promise<MysqlStream> {
  const discovery = await discover(connection, select({ include: [name] }));
  return streamNamed(discovery, name);
}
