import { checkSource } from "../../../actors/doctor/source.ts";
import type { Finding } from "../../../actors/doctor/findings.ts";
import { expect, test } from "../../fixtures/postgres.ts";

/** `wal_level ok`, … */
function summarise(findings: readonly Finding[]): Record<string, string> {
  return Object.fromEntries(findings.map(({ name, state }) => [name, state]));
}

const all = { tables: [], exclude: [] };

test("a server that is set up for it is well, for a role that may do all of it", async ({
  pg,
}) => {
  await pg.query(
    "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int); ALTER TABLE b REPLICA IDENTITY FULL",
  );
  const findings = await checkSource({ url: pg.url, ...all });
  expect(findings.filter(({ state }) => state === "missing")).toEqual([]);
  expect(summarise(findings)).toMatchObject({
    wal_level: "ok",
    "replica identity": "ok",
    publication: "ok",
  });
});

test("what is missing is named, and what it says mends it", async ({ pg }) => {
  const role = `r_${Math.random().toString(36).slice(2)}`;
  await pg.query(
    `CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE "B c" (id int); CREATE ROLE ${role} LOGIN`,
  );
  try {
    await pg.query('GRANT SELECT ON a, "B c" TO ' + role);
    const url = new URL(pg.url);
    url.username = role;
    const before = await checkSource({ url: url.href, ...all });
    expect(summarise(before)).toMatchObject({
      role: "missing",
      "replica identity": "missing",
      publication: "missing",
      SELECT: "ok",
    });
    const remedies = before.flatMap(({ state, name, remedy }) =>
      state === "missing" && remedy !== null
        ? // what another service needs stands in brackets
          [name === "role" ? remedy.replace(/ \(.*$/, "") : remedy]
        : [],
    );
    for (const remedy of remedies)
      await pg.query(remedy.replace(/^as the tables' owner: /, ""));
    const after = await checkSource({ url: url.href, ...all });
    expect(after.filter(({ state }) => state === "missing")).toEqual([]);
    // only of the tables that are meant
    const [first] = await pg.query<{ n: number }>(
      "SELECT count(*)::int AS n FROM pg_publication_tables",
    );
    expect(first?.n).toBe(2);
  } finally {
    await pg.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

test("a domain over an enumeration is told: the log's reader ends at it", async ({
  pg,
}) => {
  await pg.query(
    "CREATE TABLE a (id int PRIMARY KEY); CREATE TYPE colour AS ENUM ('red'); CREATE DOMAIN paint AS colour",
  );
  expect(summarise(await checkSource({ url: pg.url, ...all }))).toMatchObject({
    "domain paint": "missing",
  });
});

test("a server that cannot be reached is a finding", async () => {
  const url = "postgres://nobody@127.0.0.1:1/none?connect_timeout=2";
  expect(await checkSource({ url, ...all })).toEqual([
    expect.objectContaining({ name: "connection", state: "missing" }),
  ]);
});
