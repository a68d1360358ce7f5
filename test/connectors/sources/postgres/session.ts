/** Connections of the source's own, for tests on a real server. */
import { PostgresConnection } from "../../../../connectors/sources/postgres/connection.ts";
import { discover } from "../../../../connectors/sources/postgres/discover.ts";
import {
  parseSourceUrl,
  type PostgresConfig,
} from "../../../../connectors/sources/postgres/url.ts";
import type { StreamSelection } from "../../../../connectors/sources/source.ts";
import type {
  PostgresDiscovery,
  PostgresStream,
} from "../../../../connectors/sources/postgres/stream.ts";
import { test as base } from "../../../fixtures/postgres.ts";

export { describe, expect } from "vitest";

/** One connection as a superuser, and others as whom a test wants. */
export interface Sessions {
  readonly connection: PostgresConnection;
  /** With SELECT on nothing; granted rights are dropped with the database. */
  connectAs(role: string): Promise<PostgresConnection>;
  /** Makes a login role that is dropped after the test; its name is its own. */
  createRole(): Promise<string>;
  readonly config: PostgresConfig;
}

export const test = base.extend<{ sessions: Sessions }>({
  sessions: async ({ pg }, use) => {
    const config = parseSourceUrl(pg.url, {});
    const connection = await PostgresConnection.connect(config);
    const others: PostgresConnection[] = [];
    const roles: string[] = [];
    await use({
      connection,
      config,
      connectAs: async (role) => {
        const other = await PostgresConnection.connect({
          ...config,
          user: role,
          password: "reader",
        });
        others.push(other);
        return other;
      },
      createRole: async () => {
        const role = `reader_${crypto.randomUUID().slice(0, 8)}`;
        await pg.query(`CREATE ROLE ${role} LOGIN PASSWORD 'reader'`);
        roles.push(role);
        return role;
      },
    });
    for (const other of [connection, ...others]) await other.close();
    for (const role of roles) {
      await pg.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  },
});

export function select(
  changes: Partial<StreamSelection> = {},
): StreamSelection {
  return { include: [], exclude: [], columns: null, ...changes };
}

export function streamNamed(
  discovery: PostgresDiscovery,
  name: string,
): PostgresStream {
  const stream = discovery.streams.find((one) => one.schema.name === name);
  if (stream === undefined) {
    throw new Error(
      `no stream ${name} in ${discovery.streams.map((one) => one.schema.name).join(", ")}`,
    );
  }
  return stream;
}

export async function discoverOne(
  connection: PostgresConnection,
  name: string,
): Promise<PostgresStream> {
  const discovery = await discover(connection, select({ include: [name] }));
  return streamNamed(discovery, name);
}
