import { readdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { test as base, describe, expect } from "vitest";
import { readSettings } from "../../connectors/sources/airbyte/config.ts";
import { listArchitectures } from "../../daemon/architectures.ts";
import {
  buildRequest,
  findContradictions,
  settingNames,
} from "../../daemon/config-request.ts";
import { configSchema, listKeysAt } from "../../daemon/config-schema.ts";
import {
  buildJsonSchema,
  loadConfig,
  loadMillraceConfig,
} from "../../daemon/config.ts";
import { recordRequest } from "../../daemon/identity.ts";
import { requestDefaults } from "../../daemon/request.ts";
import { ExtractError } from "../../proto/error.ts";

const example = fileURLToPath(
  new URL("../../deploy/examples/millrace.yaml", import.meta.url),
);

const test = base.extend<{ write: (text: string) => Promise<string> }>({
  // eslint-disable-next-line no-empty-pattern
  write: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-config-"));
    await use(async (text) => {
      const file = join(folder, "millrace.yaml");
      await writeFile(file, text);
      return file;
    });
    await rm(folder, { recursive: true, force: true });
  },
});

function catchError(call: () => unknown): ExtractError {
  try {
    call();
  } catch (error) {
    if (error instanceof ExtractError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

/** One sync named `shop`, with further lines at the depth of its keys. */
function shop(...lines: readonly string[]): string {
  return [
    "syncs:",
    "  shop:",
    "    source: { kind: postgres, url: 'postgres://me@h/shop' }",
    "    destination: { kind: file, path: out }",
    ...lines.map((line) => `    ${line}`),
  ].join("\n");
}

test("the example of a daemon is read with all its parts, and each example of the folder has its test", () => {
  const secrets = {
    LEDGER_URL: "postgres://millrace@db.example.com/millrace",
    VIEWER_TOKEN: "viewer-token-0123456789",
    OPERATOR_TOKEN: "operator-token-0123456789",
    KAFKA_PASSWORD: "kafka-secret",
    SHOP_PASSWORD: "shop-secret",
    WAREHOUSE_PASSWORD: "dwh-secret",
    BILLING_PASSWORD: "billing-secret",
    AIRFLOW_TOKEN: "airflow-secret",
  };
  const { daemon, ledgerPath, syncs, schedules, hooks } = loadMillraceConfig(
    join(dirname(example), "daemon.yaml"),
    secrets,
  );
  expect(ledgerPath).toContain("db.example.com");
  expect(daemon).toMatchObject({
    listen: { host: "127.0.0.1", port: 7420 },
    tokens: [{ role: "viewer" }, { role: "operator" }],
    limits: { connectionsPerSource: 40 },
    drainMs: 120_000,
    kafka: {
      topic: "millrace.triggers",
      deadLetterTopic: "millrace.triggers.dead-letter",
      sasl: { password: secrets.KAFKA_PASSWORD },
    },
  });
  expect([...schedules.keys()]).toEqual(["orders", "invoices"]);
  expect(hooks.get("orders")?.target).toMatchObject({
    command: expect.arrayContaining(["dbt", "build", "--select"]),
  });
  expect(hooks.get("invoices")?.target).toEqual({
    kind: "url",
    url: "https://airflow.example.com/api/v2/dags/invoices/dagRuns",
    headers: { Authorization: `Bearer ${secrets.AIRFLOW_TOKEN}` },
    body: { logical_date: null, conf: "{run}" },
  });
  const [orders, invoices] = [...syncs.values()].map(buildRequest);
  expect(orders).toMatchObject({
    schemaChanges: "new-columns-only",
    mode: "incremental-append-dedupe",
    limits: { memoryBytes: 2 * 1024 ** 3, cpus: 2 },
  });
  expect(invoices?.schemaChanges).toBe("pause");
  expect(readdirSync(dirname(example)).sort()).toEqual([
    "connectors.yaml",
    "daemon.yaml",
    "millrace.yaml",
  ]);
});

test("the example file becomes the requests that its comments promise", () => {
  const syncs = loadConfig(example, {
    SHOP_PASSWORD: "p@ss/wörd%",
    EVENTS_URL: "postgresql://e@h/events",
    CRM_PASSWORD: "crm-secret",
    EMAIL_SALT: "sixteen-letters-salt",
    WAREHOUSE_PASSWORD: "dwh secret",
  });
  expect([...syncs.keys()]).toEqual([
    ...["shop", "lake", "warehouse", "events", "changes"],
  ]);
  const changes = syncs.get("changes");
  expect(changes && buildRequest(changes).log).toMatchObject({
    continuous: true,
    checkpointEverySeconds: 5,
    budget: { bytes: 20e9, shareOf: { giveUp: 1 }, patienceMs: 60_000 },
    filledColumns: "copy",
  });
  const settings = syncs.get("shop");
  const lake = syncs.get("lake");
  expect(lake && buildRequest(lake)).toMatchObject({
    source: {
      url: "mysql://reader:crm-secret@db.example.com/crm?ssl-mode=REQUIRED",
    },
    destination: {
      kind: "s3",
      url: "s3://example-lake/raw",
      options: { region: "eu-central-1", sse: "aws:kms" },
    },
    mappers: [
      {
        tables: ["customers"],
        steps: [
          { drop: ["notes"] },
          { hash: { columns: ["email"], salt: "sixteen-letters-salt" } },
          { mask: { columns: ["phone"], keepLast: 3 } },
        ],
      },
    ],
  });
  const warehouse = syncs.get("warehouse");
  expect(warehouse && buildRequest(warehouse)).toMatchObject({
    destination: {
      kind: "postgres",
      url: "postgres://loader:dwh%20secret@warehouse.example.com/dwh",
      options: { schema: "raw_{namespace}" },
    },
    mode: "incremental-append-dedupe",
  });
  const events = syncs.get("events");
  expect(settings && buildRequest(settings)).toMatchObject({
    name: "shop",
    source: {
      url: "postgres://shop_reader:p%40ss%2Fw%C3%B6rd%25@db.example.com:5432/shop?sslmode=verify-full",
    },
    destination: {
      kind: "file",
      root: join(dirname(example), "out/shop"),
      pathTemplate: "{namespace}/{stream}",
    },
    tables: ["public.*"],
    exclude: ["public.audit_*"],
    format: { format: "parquet", compression: "zstd", plainEncodings: false },
    checkpointEverySeconds: 300,
  });
  expect(events && buildRequest(events)).toMatchObject({
    source: { url: "postgresql://e@h/events" },
    destination: { pathTemplate: "{stream}", fileBytesMax: 256 * 1024 ** 2 },
    mode: "incremental-append",
    cursor: "happened_at",
    cursorLagSeconds: 120,
    columns: ["id", "happened_at", "payload"],
    unrepresentable: "null",
  });
});

test("the example of connectors names a command, images and sockets, and no secret is told", () => {
  const secrets = {
    TICKETS_TOKEN: "tickets-secret",
    SHOP_PASSWORD: "shop-secret",
    WAREHOUSE_PASSWORD: "dwh-secret",
    SHOP_URL: "postgres://e@h/shop",
    SEARCH_KEY: "search-secret",
  };
  const syncs = loadConfig(join(dirname(example), "connectors.yaml"), secrets);
  const requests = [...syncs.values()].map(buildRequest);
  expect(
    requests.flatMap((request) =>
      listArchitectures(request)
        // between the sides of our own there is one way
        .filter(({ format }) => format !== "COLUMNAR")
        .map(
          ({ between, medium, format }) => `${between}: ${medium} ${format}`,
        ),
    ),
  ).toEqual([
    "source-tickets --page-size=500 → airbyte: STDIO JSONL",
    "airbyte/source-mysql:3.51.5 → airbyte: SOCKET PROTOBUF",
    "airbyte → its connector: STDIO JSONL",
  ]);
  const [tickets, shop, search] = requests;
  expect(readSettings(tickets?.source.url ?? "")).toMatchObject({
    command: ["source-tickets", "--page-size=500"],
    config: { token: "tickets-secret", start_date: "2026-01-01" },
  });
  expect(readSettings(shop?.source.url ?? "")).toMatchObject({
    runtime: "podman",
    runtimeArguments: ["--network=shop"],
    config: { port: 3306, password: "shop-secret" },
  });
  expect(search?.destination).toMatchObject({
    connector: {
      program: { image: "airbyte/destination-elasticsearch:0.1.6" },
    },
    deadlines: { stateMs: 3_600_000 },
  });
  const told = JSON.stringify(requests.map(recordRequest));
  for (const secret of Object.values(secrets))
    if (secret.endsWith("secret")) expect(told).not.toContain(secret);
});

test("what a file leaves out takes the defaults of a request", async ({
  write,
}) => {
  const settings = loadConfig(await write(shop()), {}).get("shop");
  expect(settings && buildRequest(settings)).toMatchObject({
    ...requestDefaults,
    name: "shop",
  });
});

test("every setting can be written and arrives in its unit", async ({
  write,
}) => {
  const file = await write(
    shop(
      "tables: [public.orders]",
      "exclude: [a, b]",
      "mode: incremental",
      "cursor: id",
      "cursorLag: 1m30s",
      "columns: [id]",
      "where: id > 3",
      "format: csv",
      "compression: gzip",
      "plainEncodings: false",
      "channels: 4",
      "readers: 2",
      "attempts: 5",
      "checkpointEvery: 250ms",
      "partitionBy: key",
      "unrepresentable: error",
      "rowBytesMax: 1MiB",
      "snapshotGrace: 90",
      "probeDeadline: 2s",
      "ledger: l.sqlite",
      "trace: /tmp/t.jsonl",
    ),
  );
  const settings = loadConfig(file, {}).get("shop");
  expect(settings && buildRequest(settings)).toMatchObject({
    mode: "incremental-append",
    cursorLagSeconds: 90,
    channels: 4,
    readers: 2,
    attemptsMax: 5,
    checkpointEverySeconds: 0.25,
    rowBytesMax: 1_048_576,
    snapshotGraceMs: 90_000,
    probeDeadlineMs: 2000,
    ledgerPath: join(dirname(file), "l.sqlite"),
    tracePath: "/tmp/t.jsonl",
  });
});

test("all faults come at once, each with line, path and reason", async ({
  write,
}) => {
  const file = await write(
    [
      "syncs:",
      "  shop:",
      "    source:",
      "      kind: oracle",
      "      url: ${MISSING_URL}",
      "      password: file:./no-such-file",
      "    destination: { kind: file, path: 's3://b/x', fileSize: big }",
      "    mode: incremental",
      "    formt: csv",
      "    channels: 0",
      "    checkpointEvery: [1]",
      "extra: 1",
    ].join("\n"),
  );
  const error = catchError(() => loadConfig(file, {}));
  expect(error.code).toBe("CONFIG_INVALID");
  const faults = [
    "3 syncs.shop.cursor: is missing",
    "4 syncs.shop.source.kind: ",
    "5 syncs.shop.source.url: the environment variable MISSING_URL is not set",
    "6 syncs.shop.source.password: the file",
    "7 syncs.shop.destination.path: has the scheme s3://",
    "7 syncs.shop.destination.fileSize: is no size",
    "9 syncs.shop.formt: is no known key; did you mean `format`?",
    "10 syncs.shop.channels: ",
    "11 syncs.shop.checkpointEvery: must be a text or a number",
    "12 extra: is no known key; valid keys are $schema, ledger, daemon, syncs",
  ];
  const lines = error.message.split("\n").slice(1);
  expect(lines).toHaveLength(faults.length);
  for (const [i, fault] of faults.entries()) {
    expect(lines[i]).toContain(`${file}:${fault}`);
  }
});

describe("references", () => {
  const withUrl = (url: string, password = "") =>
    [
      "syncs:",
      "  shop:",
      `    source: { kind: postgres, url: ${JSON.stringify(url)}${password} }`,
      "    destination: { kind: file, path: out }",
    ].join("\n");

  test("to the environment are replaced inside a text", async ({ write }) => {
    const file = await write(withUrl("postgres://me@${HOST}:${PORT}/shop"));
    const syncs = loadConfig(file, { HOST: "db", PORT: "6432" });
    expect(syncs.get("shop")?.url).toBe("postgres://me@db:6432/shop");
  });

  test("with a doubled dollar sign are plain text", async ({ write }) => {
    const file = await write(shop("where: price = '$${x}'"));
    expect(loadConfig(file, { x: "1" }).get("shop")?.where).toBe(
      "price = '${x}'",
    );
  });

  test("to a file take its content without the last line end", async ({
    write,
  }) => {
    const file = await write("");
    await writeFile(join(dirname(file), "secret"), "s3 cret\n");
    await write(withUrl("postgres://me@h/shop", ", password: 'file:./secret'"));
    expect(loadConfig(file, {}).get("shop")?.url).toBe(
      "postgres://me:s3%20cret@h/shop",
    );
  });

  test("a password without a user goes as a parameter", async ({ write }) => {
    const file = await write(
      withUrl("postgres:///shop?host=/run/pg", ", password: 'a&b'"),
    );
    const url = loadConfig(file, {}).get("shop")?.url ?? "";
    expect(new URL(url).searchParams.get("password")).toBe("a&b");
  });

  test("what they stand for never shows in a fault", async ({ write }) => {
    const file = await write(
      [
        "syncs:",
        "  shop:",
        "    source: { kind: postgres, url: '${SECRET}', password: '${SECRET}' }",
        "    destination: { kind: '${SECRET}', path: 'x:/${SECRET}', fileSize: '${SECRET}' }",
        "    mode: '${SECRET}'",
        "    channels: '${SECRET}'",
        "    cursorLag: '${SECRET}'",
      ].join("\n"),
    );
    const { message } = catchError(() =>
      loadConfig(file, { SECRET: "tell-nobody" }),
    );
    expect(message).toContain("syncs.shop.mode");
    expect(message).not.toContain("tell-nobody");
  });
});

test.for([
  { name: "broken YAML", text: "syncs: [1", says: ":1:" },
  { name: "two equal keys", text: "syncs: {}\nsyncs: {}", says: "unique" },
  { name: "an empty file", text: "", says: "the file: " },
  { name: "no syncs", text: "syncs: {}", says: "between 1 and" },
  { name: "a list", text: "- a", says: "the file: " },
])("$name is a fault", async ({ text, says }, { write }) => {
  const file = await write(text);
  const error = catchError(() => loadConfig(file, {}));
  expect(error.code).toBe("CONFIG_INVALID");
  expect(error.message).toContain(says);
});

test("aliases that would expand without end are refused", async ({ write }) => {
  const levels = Array.from({ length: 12 }, (_, i) =>
    i === 0
      ? "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"
      : `a${i}: &a${i} [${Array(10)
          .fill(`*a${i - 1}`)
          .join(", ")}]`,
  );
  const file = await write(levels.join("\n"));
  expect(catchError(() => loadConfig(file, {})).code).toBe("CONFIG_INVALID");
});

test("every YAML name of a setting is a key of the schema", () => {
  for (const [setting, { yaml }] of Object.entries(settingNames)) {
    if (yaml === null) continue;
    const parent = ["syncs", "any", ...yaml.slice(0, -1)];
    expect(listKeysAt(parent), setting).toContain(yaml.at(-1));
  }
  expect(configSchema.safeParse({}).success).toBe(false);
});

test("every key of a sync in the JSON Schema says what it is for", () => {
  const schema = buildJsonSchema() as {
    properties: {
      syncs: { additionalProperties: { properties: Record<string, unknown> } };
    };
  };
  const { source, destination, ...plain } =
    schema.properties.syncs.additionalProperties.properties;
  for (const group of [source, destination]) {
    const { properties } = group as { properties: Record<string, unknown> };
    Object.assign(plain, properties);
  }
  for (const [key, value] of Object.entries(plain)) {
    expect(value, key).toHaveProperty("description");
  }
});

test.for([
  { settings: {}, faults: [] },
  { settings: { mode: "incremental-append" }, faults: ["cursor"] },
  { settings: { cursor: "id" }, faults: ["cursor"] },
  {
    settings: { mode: "incremental-append", cursor: "id", cursorLagSeconds: 3 },
    faults: [],
  },
  {
    settings: { format: "csv", plainEncodings: true },
    faults: ["plainEncodings"],
  },
  {
    settings: { format: "jsonl", compression: "snappy" },
    faults: ["compression"],
  },
  { settings: { columns: ["a"] }, faults: ["columns"] },
  { settings: { columns: ["a"], tables: ["t*"] }, faults: ["columns"] },
  { settings: { columns: ["a"], tables: ["t"] }, faults: [] },
  { settings: { channels: 2, readers: 3 }, faults: ["readers"] },
  { settings: { channels: 2, readers: 2 }, faults: [] },
] as const)("contradictions of $settings", ({ settings, faults }) => {
  const found = findContradictions(settings).map(({ setting }) => setting);
  expect(found).toEqual(faults);
});
