/**
 * The configurations of our source executables: what `spec` says of them, and the URL that each of them means. Pure.
 */
import { z } from "zod";
import { ExtractError } from "../../proto/error.ts";

export const SOURCE_EXECUTABLES = [
  "source-postgres",
  "source-mysql",
  "source-mssql",
] as const;
export type SourceExecutable = (typeof SOURCE_EXECUTABLES)[number];

const TEXT_MAX = 65_536;
const SECONDS_MIN = 0.05;
const SECONDS_MAX = 24 * 3_600;
const CONNECTIONS_MAX = 1_000;

const text = z.string().min(1).max(TEXT_MAX);

function describeShape(port: number, parameters: string) {
  return {
    host: text.meta({
      title: "Host",
      description: "Name or address of the server.",
      order: 0,
    }),
    port: z
      .int()
      .min(1)
      .max(65_535)
      .default(port)
      .meta({ title: "Port", order: 1 }),
    database: text.meta({ title: "Database", order: 2 }),
    schemas: z.array(text).max(10_000).optional().meta({
      title: "Schemas",
      description: "Whose tables are meant. Left out: all that can be read.",
      order: 3,
    }),
    username: text.meta({ title: "User", order: 4 }),
    password: z.string().max(TEXT_MAX).optional().meta({
      title: "Password",
      airbyte_secret: true,
      order: 5,
    }),
    url_params: z
      .string()
      .max(TEXT_MAX)
      .optional()
      .meta({
        title: "URL parameters",
        description: `Behind the question mark of the server's URL, joined by &: ${parameters}.`,
        airbyte_secret: true,
        order: 6,
      }),
    checkpoint_target_interval_seconds: z
      .number()
      .min(SECONDS_MIN)
      .max(SECONDS_MAX)
      .default(300)
      .meta({
        title: "Seconds between states",
        description:
          "A long partition has a state after each such time, from which a later read goes on.",
        order: 7,
      }),
    concurrency: z.int().min(1).max(CONNECTIONS_MAX).optional().meta({
      title: "Readers",
      description:
        "Connections that read at once. Left out: one, and more while that makes it faster.",
      order: 8,
    }),
    cursor_lag_seconds: z
      .number()
      .min(0)
      .max(SECONDS_MAX * 30)
      .optional()
      .meta({
        title: "Cursor lag in seconds",
        description:
          "Rows may be committed so much later than their cursor says, and are still found by the next incremental read. Left out: by the oldest open transaction.",
        order: 9,
      }),
  };
}

/** A slot of Postgres; what other characters there are it does not allow. */
const slotName = z.string().regex(/^[a-z0-9_]{1,63}$/);

const standard = z
  .looseObject({ method: z.literal("Standard") })
  .meta({ title: "By a cursor column" });

function describeMethods<Shape extends z.ZodRawShape>(shape: Shape) {
  const captured = z
    .looseObject({ method: z.literal("CDC"), ...shape })
    .meta({ title: "Change data capture, from the server's log" });
  return z.discriminatedUnion("method", [standard, captured]).optional().meta({
    title: "How incremental streams find what is new",
    description:
      "Change data capture needs Java 17 or later where the connector runs, and a server whose log is set up for it.",
    order: 10,
  });
}

const configs = {
  "source-postgres": z.looseObject({
    ...describeShape(5432, "sslmode, sslrootcert, sslcert, sslkey"),
    replication_method: describeMethods({
      replication_slot: slotName.meta({
        title: "Replication slot",
        description:
          "A name that no other connection has. It is made by the first read, and made anew by one without a state: whatever has the name then is removed. Drop it when the connection goes.",
        order: 0,
      }),
      publication: slotName.optional().meta({
        title: "Publication",
        description:
          "Made with the slot, of the tables that are followed. Left out: called like the slot.",
        order: 1,
      }),
    }),
  }),
  "source-mysql": z.looseObject({
    ...describeShape(3306, "ssl-mode, ssl-ca, ssl-cert, ssl-key"),
    replication_method: describeMethods({}),
  }),
  "source-mssql": z.looseObject(
    describeShape(1433, "encrypt, trustServerCertificate, ca, instance"),
  ),
} as const;

const schemes: Readonly<Record<SourceExecutable, string>> = {
  "source-postgres": "postgres",
  "source-mysql": "mysql",
  "source-mssql": "sqlserver",
};

const titles: Readonly<Record<SourceExecutable, string>> = {
  "source-postgres": "Postgres",
  "source-mysql": "MySQL and MariaDB",
  "source-mssql": "SQL Server",
};

export interface SourceConfig {
  readonly url: string;
  /** Patterns of tables; empty: all. */
  readonly tables: readonly string[];
  readonly checkpointEverySeconds: number;
  readonly readers: number | null;
  readonly cursorLagSeconds: number | null;
  /** Null: incremental streams go by a cursor. */
  readonly log: LogConfig | null;
}

/** Changes are captured from the source's log. */
export interface LogConfig {
  readonly connector: "postgresql" | "mysql";
  /** Null: the server keeps nothing under a name. */
  readonly slot: string | null;
  readonly publication: string | null;
}

/** The body of a SPEC message. */
export function describeSourceSpec(name: SourceExecutable): object {
  const schema = z.toJSONSchema(configs[name], { io: "input" });
  return {
    supportsIncremental: true,
    protocol_version: "0.2.0",
    connectionSpecification: { ...schema, title: titles[name] },
  };
}

/** @throws ExtractError CONFIG_INVALID listing each fault with its path, and no value */
export function readSourceConfig(
  name: SourceExecutable,
  value: unknown,
): SourceConfig {
  const read = configs[name].safeParse(value);
  if (!read.success)
    throw new ExtractError(
      "CONFIG_INVALID",
      read.error.issues
        .map(({ path, message }) => `${path.join(".") || "config"}: ${message}`)
        .join("; "),
    );
  const {
    host,
    port,
    database,
    schemas = [],
    username,
    password = "",
    url_params: parameters = "",
    checkpoint_target_interval_seconds: checkpointEverySeconds,
    concurrency = null,
    cursor_lag_seconds: cursorLagSeconds = null,
  } = read.data;
  const secret = password === "" ? "" : `:${encodeURIComponent(password)}`;
  const place = host.includes(":") ? `[${host}]` : host;
  const query = parameters === "" ? "" : `?${parameters.replace(/^\?/, "")}`;
  return {
    url: `${schemes[name]}://${encodeURIComponent(username)}${secret}@${place}:${port}/${encodeURIComponent(database)}${query}`,
    tables: schemas.map((schema) => `${schema}.*`),
    checkpointEverySeconds,
    readers: concurrency,
    cursorLagSeconds,
    log: readLog(name, read.data),
  };
}

function readLog(
  name: SourceExecutable,
  config: Readonly<Record<string, unknown>>,
): LogConfig | null {
  const method = (config["replication_method"] ?? { method: "Standard" }) as {
    readonly method: "Standard" | "CDC";
    readonly replication_slot?: string;
    readonly publication?: string;
  };
  if (method.method === "Standard" || name === "source-mssql") return null;
  return {
    connector: name === "source-postgres" ? "postgresql" : "mysql",
    slot: method.replication_slot ?? null,
    publication: method.publication ?? null,
  };
}
