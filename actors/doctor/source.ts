/** What change data capture needs on the source: asked of the server itself, with the tables that a sync would read. */
import { loadSource } from "../../connectors/sources/index.ts";
import { readSourceKind } from "../../connectors/sources/url.ts";
import { errorCodes, ExtractError } from "../../proto/error.ts";
import { checkBinlog } from "./binlog.ts";
import { missing, note, type DoctorRequest, type Finding } from "./findings.ts";
import { checkPostgres, type Table } from "./postgres.ts";

/** @throws ExtractError USAGE for a URL that is no source's */
export async function checkSource(
  request: DoctorRequest & { readonly url: string },
): Promise<Finding[]> {
  const kind = readSourceKind(request.url);
  switch (kind) {
    case "mssql":
      return [
        note(
          "log",
          "SQL Server's changes are read from the topics of an existing Kafka Connect with Debezium, not from the server",
        ),
      ];
    case "kafka":
      return [
        note(
          "log",
          "topics are read as they are: what the connector's database lacks is asked of that database",
        ),
      ];
    case "generator":
      return [note("log", "generated rows do not change")];
    default:
      break;
  }
  try {
    const tables = await findTables(request);
    return kind === "postgres"
      ? await askPostgres(request.url, tables)
      : await askMysql(request.url, tables);
  } catch (error) {
    if (!(error instanceof ExtractError) || error.code === "USAGE") throw error;
    return [missing("connection", error.message, errorCodes[error.code].help)];
  }
}

/** Leaves: it is they that have an identity and stand in a publication. */
async function findTables({
  url,
  tables,
  exclude,
}: DoctorRequest & { readonly url: string }): Promise<Table[]> {
  const driver = await loadSource(url);
  const session = await driver.connect(url);
  try {
    await session.beginSnapshot(null);
    const { streams } = await session.discover(
      { include: tables, exclude, columns: null },
      "error",
    );
    return streams
      .filter(({ relationKind }) =>
        ["table", "partitioned"].includes(relationKind),
      )
      .flatMap(({ leaves }) =>
        leaves.map(({ schema, name }) => ({ namespace: schema, name })),
      );
  } finally {
    await session.close();
  }
}

async function askPostgres(
  url: string,
  tables: readonly Table[],
): Promise<Finding[]> {
  const { PostgresConnection } =
    await import("../../connectors/sources/postgres/connection.ts");
  const { parseSourceUrl } =
    await import("../../connectors/sources/postgres/url.ts");
  const config = parseSourceUrl(url);
  const connection = await PostgresConnection.connect(config);
  try {
    return [
      ...checkAddress(config.host.startsWith("/")),
      ...(await checkPostgres(connection, tables)),
    ];
  } finally {
    await connection.close();
  }
}

async function askMysql(
  url: string,
  tables: readonly Table[],
): Promise<Finding[]> {
  const { MysqlConnection } =
    await import("../../connectors/sources/mysql/connection.ts");
  const { parseSourceUrl } =
    await import("../../connectors/sources/mysql/url.ts");
  const config = parseSourceUrl(url);
  const connection = await MysqlConnection.connect(config);
  try {
    return [
      ...checkAddress(config.socket !== null),
      ...(await checkBinlog(connection, tables)),
    ];
  } finally {
    await connection.close();
  }
}

function checkAddress(isSocket: boolean): Finding[] {
  return isSocket
    ? [
        missing(
          "address",
          "the engine reaches a server over TCP, not over a Unix socket",
          "name a host and a port in the source URL",
        ),
      ]
    : [];
}
