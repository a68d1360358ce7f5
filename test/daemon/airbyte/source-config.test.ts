import { describe, expect, test } from "vitest";
import { readDataChannel } from "../../../daemon/airbyte/data-channel.ts";
import {
  SOURCE_EXECUTABLES,
  describeSourceSpec,
  readSourceConfig,
} from "../../../daemon/airbyte/source-config.ts";
import { parseSourceUrl } from "../../../connectors/sources/postgres/url.ts";

const config = {
  host: "db.example",
  port: 5433,
  database: "shop/αβ",
  username: "re@der",
  password: "p:/?#[]@%",
};

describe("the configuration of a source", () => {
  test("is the URL that its connector reads the same things from", () => {
    const { url } = readSourceConfig("source-postgres", {
      ...config,
      url_params: "sslmode=require",
    });
    expect(parseSourceUrl(url, {})).toMatchObject({
      host: "db.example",
      port: 5433,
      database: "shop/αβ",
      user: "re@der",
      password: "p:/?#[]@%",
      sslmode: "require",
    });
  });

  test("may capture changes, in Postgres with a slot of a name that it allows", () => {
    const read = (replication_method: unknown, name = "source-postgres") =>
      readSourceConfig(name as "source-postgres", {
        ...{ ...config, replication_method },
      }).log;
    expect(read(undefined)).toBeNull();
    expect(read({ method: "Standard" })).toBeNull();
    expect(read({ method: "CDC", replication_slot: "mine" })).toEqual({
      ...{ connector: "postgresql", slot: "mine", publication: null },
    });
    expect(read({ method: "CDC" }, "source-mysql")).toEqual({
      ...{ connector: "mysql", slot: null, publication: null },
    });
    for (const slot of [undefined, "", "My Slot", "'; DROP"])
      expect(() => read({ method: "CDC", replication_slot: slot })).toThrow(
        /replication_method\.replication_slot/,
      );
  });

  test("that is wrong is refused with its places, and without a value", () => {
    expect(() =>
      readSourceConfig("source-postgres", {
        ...config,
        port: "hunter2",
        database: undefined,
      }),
    ).toThrow(
      expect.objectContaining({
        code: "CONFIG_INVALID",
        message: expect.stringMatching(/port: .*database: /) as unknown,
      }),
    );
    try {
      readSourceConfig("source-postgres", { ...config, port: "hunter2" });
    } catch (error) {
      expect(String(error)).not.toContain("hunter2");
    }
  });

  test.for(SOURCE_EXECUTABLES)("of %s is described, secrets marked", (name) => {
    const { connectionSpecification: schema } = describeSourceSpec(name) as {
      connectionSpecification: {
        required: string[];
        properties: Record<string, Record<string, unknown>>;
      };
    };
    expect(schema.required).toEqual(["host", "database", "username"]);
    const secret = Object.entries(schema.properties)
      .filter(([, property]) => property["airbyte_secret"] === true)
      .map(([property]) => property);
    expect(secret).toEqual(["password", "url_params"]);
  });
});

describe("how a platform wants records", () => {
  test("is stdio unless it says so", () => {
    expect(readDataChannel({})).toEqual({ medium: "stdio" });
    expect(readDataChannel({ DATA_CHANNEL_MEDIUM: "" })).toEqual({
      medium: "stdio",
    });
  });

  test("is by sockets where it names them, each once", () => {
    expect(
      readDataChannel({
        DATA_CHANNEL_MEDIUM: "SOCKET",
        DATA_CHANNEL_FORMAT: "PROTOBUF",
        DATA_CHANNEL_SOCKET_PATHS: "/run/a.sock, /run/b.sock",
      }),
    ).toEqual({
      medium: "sockets",
      format: "protobuf",
      paths: ["/run/a.sock", "/run/b.sock"],
    });
  });

  test.for([
    { DATA_CHANNEL_MEDIUM: "PIGEON" },
    { DATA_CHANNEL_MEDIUM: "SOCKET" },
    { DATA_CHANNEL_MEDIUM: "STDIO", DATA_CHANNEL_FORMAT: "PROTOBUF" },
    { DATA_CHANNEL_MEDIUM: "SOCKET", DATA_CHANNEL_SOCKET_PATHS: "a.sock" },
    {
      DATA_CHANNEL_MEDIUM: "SOCKET",
      DATA_CHANNEL_SOCKET_PATHS: `/${"a".repeat(108)}`,
    },
    { DATA_CHANNEL_MEDIUM: "SOCKET", DATA_CHANNEL_SOCKET_PATHS: "/a,/a" },
    { DATA_CHANNEL_FORMAT: "XML" },
  ])("that makes no sense is refused by name: %j", (env) => {
    expect(() => readDataChannel(env)).toThrow(
      expect.objectContaining({
        code: "USAGE",
        message: expect.stringContaining("DATA_CHANNEL_") as unknown,
      }),
    );
  });
});
