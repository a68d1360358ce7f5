/**
 * Two sources, two destinations, each of them ours and somebody else's, in every way that both speak: the same rows
 * arrive, and every state comes back.
 */
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { parseExactly } from "../fixtures/read-back.ts";
import {
  Platform,
  configOf,
  configure,
  pythonDestination,
  pythonSource,
  type Message,
} from "./support/airbyte.ts";
import { test as base } from "./support/fixtures.ts";

const ROWS = 300;

interface Side {
  readonly name: string;
  readonly executable: string;
}

const ourSource = { name: "our source", executable: "source-postgres" };
const ourDestination = {
  name: "our destination",
  executable: "destination-file",
};
const sources: readonly Side[] = [
  ourSource,
  { name: "a Python source", executable: pythonSource },
];
const destinations: readonly Side[] = [
  ourDestination,
  { name: "a Python destination", executable: pythonDestination },
];

/** Null: by a pipe. */
const formats = [null, "JSONL", "PROTOBUF"] as const;

const cases = [
  ...sources.flatMap((source) =>
    destinations.flatMap((destination) =>
      formats.map((format) => ({ source, destination, format })),
    ),
  ),
  {
    source: ourSource,
    destination: ourDestination,
    format: "COLUMNAR" as const,
  },
].map((one) => ({
  ...one,
  name: `${one.source.name} to ${one.destination.name} by ${one.format === null ? "stdio" : `sockets, ${one.format}`}`,
}));

const test = base.extend<{
  $test: { platform: Platform };
  $file: { url: string };
}>({
  platform: async ({ task: _ }, use) => {
    const platform = new Platform();
    try {
      await use(platform);
    } finally {
      platform.dispose();
    }
  },
  // the rows that the Python source makes
  url: [
    async ({ database }, use) => {
      const unless = (value: string) =>
        `CASE WHEN n % 7 <> 0 THEN ${value} END`;
      await database.query(`
        CREATE TABLE orders AS SELECT
          n AS id,
          ${unless(`E'row ' || n || E' "quoted" \\u00e9\\u4e16\\n'`)} AS name,
          ${unless("n / 4.0::float8")} AS price,
          ${unless("n % 2 = 0")} AS active,
          ${unless("date '2020-01-01' + n % 28")} AS born,
          ${unless("timestamptz '2026-03-04 00:30:00.123456Z' + n % 24 * interval '1 hour'")} AS seen,
          ${unless("timestamp '2026-03-04 00:30:00.5' + n % 24 * interval '1 hour'")} AS local,
          ${unless("time '00:30:00.25' + n % 24 * interval '1 hour'")} AS clock,
          ${unless("12345678901234567890123::numeric + n")} AS huge,
          ${unless("jsonb_build_array('a', n::text)")} AS tags,
          ${unless(`jsonb_build_object('n', n, 'nested', '{"yes": true}'::jsonb)`)} AS extra
        FROM generate_series(1, ${ROWS}) AS n;
        ALTER TABLE orders ADD PRIMARY KEY (id);
        ANALYZE`);
      await use(database.url);
    },
    { scope: "file" },
  ],
});

test.for(cases)(
  "$name",
  async ({ source, destination, format }, { platform, url }) => {
    const path = join(platform.root, "out");
    mkdirSync(path);
    const from = platform.write(
      "source",
      source === ourSource
        ? configOf(url)
        : { streams: ["orders"], rows: ROWS, namespace: "public" },
    );
    const to = platform.write("destination", {
      path,
      format: { format_type: "JSONL", compression: "none" },
    });
    const discovered = await platform.start(source.executable, [
      ...["discover", "--config", from],
    ]).ended;
    const catalog = platform.write("catalog", configure(discovered.messages));
    const reading = ["read", "--config", from, "--catalog", catalog];
    const writing = ["write", "--config", to, "--catalog", catalog];
    let written: readonly Message[];
    if (format === null) {
      const both = await platform.pipe(
        [source.executable, ...reading],
        [destination.executable, ...writing],
      ).ended;
      expect(both.code).toBe(0);
      written = both.messages;
    } else {
      const env = platform.sockets(format);
      const [read, wrote] = await Promise.all([
        platform.start(source.executable, reading, env).ended,
        platform.start(destination.executable, writing, env).ended,
      ]);
      expect([read.code, wrote.code]).toEqual([0, 0]);
      written = wrote.messages;
    }
    const counted = written
      .filter(({ type }) => type === "STATE")
      .map(
        ({ state }) =>
          (state as { destinationStats: { recordCount: number } })
            .destinationStats.recordCount,
      );
    expect(counted.reduce((sum, count) => sum + count, 0)).toBe(ROWS);
    expect(readRows(path)).toEqual(expectedRows());
  },
);

function readRows(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".jsonl"))
    .flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n"))
    .filter((line) => line !== "")
    .map((line) => normalise(parseExactly(line)))
    .toSorted();
}

/** Members by name; numbers as what they are worth, but for those that a double would round; no zeros behind a moment. */
function normalise(row: unknown): string {
  return JSON.stringify(row, (_, value: unknown) => {
    if (typeof value === "string")
      return /^[\dT:-]+:\d\d\.\d+Z?$/.test(value)
        ? value.replace(/\.?0*(Z?)$/, "$1")
        : value;
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return value;
    const digits = (value as { number?: string }).number;
    if (digits !== undefined)
      return digits.length > 15 ? `digits ${digits}` : Number(digits);
    return Object.fromEntries(
      Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)),
    );
  });
}

function expectedRows(): string[] {
  return Array.from({ length: ROWS }, (_, i) => i + 1)
    .map((n) => {
      const unless = <T>(value: T): T | null => (n % 7 === 0 ? null : value);
      const hour = String(n % 24).padStart(2, "0");
      return JSON.stringify({
        active: unless(n % 2 === 0),
        born: unless(`2020-01-${String((n % 28) + 1).padStart(2, "0")}`),
        clock: unless(`${hour}:30:00.25`),
        extra: unless({ n, nested: { yes: true } }),
        huge: unless(`digits ${12345678901234567890123n + BigInt(n)}`),
        id: n,
        local: unless(`2026-03-04T${hour}:30:00.5`),
        name: unless(`row ${n} "quoted" é世\n`),
        price: unless(n / 4),
        seen: unless(`2026-03-04T${hour}:30:00.123456Z`),
        tags: unless(["a", String(n)]),
      });
    })
    .toSorted();
}
