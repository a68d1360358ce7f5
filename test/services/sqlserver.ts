/**
 * A server that speaks TDS for the tests: the one that TEST_SQLSERVER_URL names, else the tests' own, which keeps to the
 * specification but is not SQL Server (`tds/README.md` says what it cannot show).
 */
import { Connection, Request } from "tedious";
import {
  startTdsServer,
  type TdsServer,
  type TdsServerOptions,
} from "./tds/server.ts";

export interface SqlServerService {
  /** An administrator, in the server's default database. */
  readonly url: string;
  /** The tests' own server, to be scripted; null for one that was given. */
  readonly server: TdsServer | null;
  stop(): Promise<void>;
}

/** What TEST_SQLSERVER_URL names; null when nothing is given. */
export function findGivenSqlServer(): string | null {
  const url = process.env["TEST_SQLSERVER_URL"] ?? "";
  return url === "" ? null : url;
}

export async function provideSqlServer(
  options: TdsServerOptions = {},
): Promise<SqlServerService> {
  const given = findGivenSqlServer();
  if (given !== null) return { url: given, server: null, stop: async () => {} };
  const server = await startTdsServer(options);
  return { url: server.url, server, stop: () => server.stop() };
}

/** How long a test waits for a connection or a statement. */
const CLIENT_TIMEOUT_MS = 30_000;
const PORT_DEFAULT = 1433;

/** A connection of tedious, for tests that set a table up or look at what is there. */
export async function connectTedious(
  url: string,
  options: { readonly packetSize?: number; readonly encrypt?: boolean } = {},
): Promise<Connection> {
  const { hostname, port, username, password, pathname, searchParams } =
    new URL(url);
  const connection = new Connection({
    server: decodeURIComponent(hostname),
    authentication: {
      type: "default",
      options: {
        userName: decodeURIComponent(username),
        password: decodeURIComponent(password),
      },
    },
    options: {
      port: port === "" ? PORT_DEFAULT : Number(port),
      database: decodeURIComponent(pathname.slice(1)),
      encrypt: options.encrypt ?? searchParams.get("encrypt") !== "false",
      trustServerCertificate: true,
      requestTimeout: CLIENT_TIMEOUT_MS,
      connectTimeout: CLIENT_TIMEOUT_MS,
      ...(options.packetSize === undefined
        ? {}
        : { packetSize: options.packetSize }),
    },
  });
  connection.on("error", () => {}); // a test may end the server; its requests then fail by themselves
  await new Promise<void>((resolve, reject) => {
    connection.connect((error) => (error ? reject(error) : resolve()));
  });
  return connection;
}

/** Runs a batch; the rows of the last result set, by column name, as tedious gives values. */
export function runBatch(
  connection: Connection,
  sql: string,
): Promise<Record<string, unknown>[]> {
  return new Promise((resolve, reject) => {
    let rows: Record<string, unknown>[] = [];
    const request = new Request(sql, (error) =>
      error ? reject(error) : resolve(rows),
    );
    request.on("columnMetadata", () => {
      rows = [];
    });
    request.on(
      "row",
      (columns: { metadata: { colName: string }; value: unknown }[]) => {
        rows.push(
          Object.fromEntries(
            columns.map(({ metadata, value }) => [metadata.colName, value]),
          ),
        );
      },
    );
    connection.execSqlBatch(request);
  });
}

/** Ends a connection and waits until it is gone. */
export function closeTedious(connection: Connection): Promise<void> {
  return new Promise((resolve) => {
    if (connection.closed) return resolve();
    connection.once("end", () => resolve());
    connection.close();
  });
}
