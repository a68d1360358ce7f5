/** How destination URLs read, and that nothing of a password is shown or kept. */
import { describe, expect, test } from "vitest";
import { postgresDestinationSchema } from "../../../../connectors/destinations/postgres/config-schema.ts";
import {
  describeTarget,
  identifyDestination,
  isPostgresUrl,
  parseDestinationUrl,
  putPassword,
  redactUrl,
  removePassword,
} from "../../../../connectors/destinations/postgres/url.ts";

const none = {};

describe("parseDestinationUrl", () => {
  test("takes the URL's words, then the environment's, then the defaults", () => {
    expect(
      parseDestinationUrl(
        "postgres://u:p%40@db:6000/shop?sslmode=require",
        none,
      ),
    ).toEqual({ host: "db", port: 6000, database: "shop", sslmode: "require" });
    expect(
      parseDestinationUrl("postgresql://", {
        PGHOST: "h",
        PGPORT: "7",
        PGDATABASE: "d",
        PGSSLMODE: "allow",
      }),
    ).toEqual({ host: "h", port: 7, database: "d", sslmode: "prefer" });
    expect(
      parseDestinationUrl("postgres://u@/d?host=/run/pg", none),
    ).toMatchObject({ host: "/run/pg", port: 5432, database: "d" });
    expect(
      describeTarget(parseDestinationUrl("postgres://[::1]/d", none)),
    ).toBe("[::1]:5432/d");
    expect(identifyDestination("postgres://u:p@h/d")).toEqual([
      "postgres",
      "h",
      5432,
      "d",
    ]);
  });

  test("refuses what it cannot read, without the password", () => {
    for (const url of [
      "mysql://h/d",
      "/folder",
      "postgres://u:secret@h:99999/d",
      "postgres://u:secret@h/d?sslmode=perhaps",
    ]) {
      try {
        parseDestinationUrl(url, none);
        expect.unreachable(url);
      } catch (error) {
        expect(error).toMatchObject({ code: "USAGE" });
        expect(JSON.stringify([(error as Error).message, error])).not.toContain(
          "secret",
        );
      }
    }
    expect(isPostgresUrl("PostgreSQL://h")).toBe(true);
  });
});

test.for([
  [
    "postgres://u:secret@h/d",
    "postgres://u:***@h/d",
    "postgres://u@h/d",
    "postgres://u:n%20w@h/d",
  ],
  [
    "postgres://u@h/d",
    "postgres://u@h/d",
    "postgres://u@h/d",
    "postgres://u:n%20w@h/d",
  ],
  [
    "postgres://h/d?password=secret&sslmode=disable",
    "postgres://h/d?password=***&sslmode=disable",
    "postgres://h/d?sslmode=disable",
    "postgres://h/d?sslmode=disable&password=n%20w",
  ],
  [
    "postgres://h/d?sslmode=disable&password=secret",
    "postgres://h/d?sslmode=disable&password=***",
    "postgres://h/d?sslmode=disable",
    "postgres://h/d?sslmode=disable&password=n%20w",
  ],
  [
    "postgres:///d?password=secret",
    "postgres:///d?password=***",
    "postgres:///d",
    "postgres:///d?password=n%20w",
  ],
])("%s", ([url, shown, bare, put]) => {
  expect(redactUrl(url!)).toBe(shown);
  expect(removePassword(url!)).toBe(bare);
  expect(putPassword(url!, "n w")).toBe(put);
});

test("the YAML schema fills in the defaults and refuses what is out of bounds", () => {
  const least = { kind: "postgres", url: "postgres://h/d" };
  expect(postgresDestinationSchema.parse(least)).toMatchObject({
    schema: "{namespace}",
    table: "{stream}",
    deletes: "hard",
    nulBytes: "error",
    nanoseconds: "text",
  });
  for (const wrong of [
    { batchRowsMax: 0 },
    { batchBytesMax: 10 },
    { batchDelayMs: -1 },
    { deletes: "never" },
    { schema: "{table}" },
    { colour: "red" },
  ])
    expect(
      postgresDestinationSchema.safeParse({ ...least, ...wrong }).success,
    ).toBe(false);
});
