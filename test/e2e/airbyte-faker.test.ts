/**
 * A connector of Airbyte's own, from PyPI, under our bookkeeper. It brings a hundred packages with it, so only the full
 * tests install it.
 */
import { beforeEach, expect } from "vitest";
import { ensurePython } from "../services/python.ts";
import type { Destination } from "./support/command.ts";
import { test as base } from "./support/fixtures.ts";
import { readIds, readRows } from "./support/foreign.ts";

const PACKAGE = "airbyte-source-faker==7.2.1";
const RECORDS = 3_000;

interface Faker {
  /** Of a URL. */
  readonly source: string;
}

const test = base.extend<{ faker: Faker }>({
  // eslint-disable-next-line no-empty-pattern
  faker: async ({}, use) => {
    const python = ensurePython("airbyte-faker", [PACKAGE]);
    if ("reason" in python) throw new Error(python.reason);
    const command = [`${python.bin}/source-faker`];
    const config = {
      ...{ count: RECORDS, seed: 1, records_per_slice: 100 },
      // else every record is new each time
      always_updated: false,
    };
    const encode = (value: unknown) =>
      encodeURIComponent(JSON.stringify(value));
    await use({
      source: `airbyte:?command=${encode(command)}&config=${encode(config)}`,
    });
  },
});

beforeEach(({ skip }) => {
  if (!process.env["MILLRACE_TEST_FULL"])
    skip("MILLRACE_TEST_FULL is not set: pip would install a hundred packages");
});

const options = (mode: string) => ["--mode", mode, "--format", "jsonl"];

/** @returns rows read of each table */
async function sync(
  destination: Destination,
  ...args: readonly string[]
): Promise<Record<string, number>> {
  const { code, stderr, summary } = await destination.run("sync", ...args);
  expect(code, stderr).toBe(0);
  return Object.fromEntries(
    summary?.streams.map(({ name, rows }) => [name, rows]) ?? [],
  );
}

test("is read by its own schema, and a second run brings nothing that is known", async ({
  faker: { source },
  destination,
}) => {
  const args = [source, destination.root, ...options("incremental-append")];
  const first = await sync(destination, ...args);
  expect(first).toMatchObject({ users: RECORDS, purchases: RECORDS });
  const [user] = readRows(destination.root, "users");
  expect(user).toMatchObject({
    id: expect.any(Number),
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    address: expect.objectContaining({ city: expect.any(String) }),
  });
  const all = Array.from({ length: RECORDS }, (_, i) => i + 1);
  expect(readIds(destination.root, "users")).toEqual(all);
  expect(readIds(destination.root, "purchases")).toEqual(all);
  expect(await sync(destination, ...args)).toEqual({
    products: 0,
    users: 0,
    purchases: 0,
  });
});
