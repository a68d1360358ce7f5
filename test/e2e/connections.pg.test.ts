/** How a source is reached: TLS in all its modes, passwords, a Unix socket. The server is one of our own. */
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { PostgresConnection } from "../../connectors/sources/postgres/connection.ts";
import { parseSourceUrl } from "../../connectors/sources/postgres/url.ts";
import { findServerUser } from "../../deploy/demo/cluster.ts";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import {
  describe,
  expect,
  test,
  withDatabase,
  type PostgresFixture,
} from "../fixtures/postgres.ts";
import { runCommand } from "../fixtures/run-sync.ts";
import { createAuthority } from "../services/certificates.ts";
import { startPostgres, type PostgresService } from "../services/postgres.ts";

const PASSWORD = "correct Horse#Battery/%41";
const WRONG_PASSWORD = "wrong-Donkey-77";
const ROWS = 20_000;

/** What the server needs: its certificate and key, who may come in how, and a place for its Unix socket. */
let serverFolder = "";
let workFolder = "";
let service: PostgresService | undefined;
let closeDatabase = (): void => {};
let database: PostgresFixture;

/** The superuser comes in as the tests' own server starts it, without TLS; `reader` in the ways under test only. */
const hostRules = `
local   all postgres trust
local   all reader scram-sha-256
host    all postgres 127.0.0.1/32 trust
hostssl all reader   127.0.0.1/32 scram-sha-256
host    all plain    127.0.0.1/32 scram-sha-256
`;

function writeServerFile(name: string, text: string): string {
  const path = join(serverFolder, name);
  writeFileSync(path, text, { mode: 0o600 });
  const user = findServerUser();
  if (user !== null) chownSync(path, user.uid, user.gid);
  return path;
}

beforeAll(async () => {
  workFolder = mkdtempSync(join(tmpdir(), "millrace-tls-"));
  serverFolder = mkdtempSync(join(tmpdir(), "millrace-server-"));
  const user = findServerUser();
  if (user !== null) chownSync(serverFolder, user.uid, user.gid);
  chmodSync(serverFolder, 0o700);
  const authority = createAuthority("Authority of the tests");
  // no IP address among the names: the server is the right one as `localhost`, and another as 127.0.0.1
  const server = authority.issue(["localhost", "db.example"]);
  writeFileSync(join(workFolder, "ca.pem"), authority.certPem);
  writeFileSync(
    join(workFolder, "other-ca.pem"),
    createAuthority("Another authority").certPem,
  );
  service = await startPostgres({
    settings: [
      "ssl=on",
      `ssl_cert_file=${writeServerFile("server.crt", server.certPem)}`,
      `ssl_key_file=${writeServerFile("server.key", server.keyPem)}`,
      `hba_file=${writeServerFile("pg_hba.conf", hostRules)}`,
      `unix_socket_directories=${serverFolder}`,
      "password_encryption=scram-sha-256",
    ],
  });
  const ready = Promise.withResolvers<void>();
  const over = new Promise<void>((resolve) => (closeDatabase = resolve));
  withDatabase(service.url, async (fixture) => {
    database = fixture;
    await fixture.query(`
      CREATE ROLE reader LOGIN PASSWORD '${PASSWORD}';
      CREATE ROLE plain LOGIN PASSWORD '${PASSWORD}';
      CREATE TABLE items AS SELECT id, md5(id::text) AS digest, repeat(md5((id * 7)::text), 25) AS payload
        FROM generate_series(1, ${ROWS}) AS id;
      ALTER TABLE items ADD PRIMARY KEY (id);
      ANALYZE items;
      GRANT SELECT ON items TO reader, plain`);
    ready.resolve();
    await over;
  }).catch(ready.reject);
  await ready.promise;
});

afterAll(async () => {
  closeDatabase();
  await service?.stop();
  for (const folder of [workFolder, serverFolder])
    rmSync(folder, { recursive: true, force: true });
});

interface Way {
  readonly host?: string;
  readonly user?: string;
  readonly password?: string | null;
  readonly [parameter: `ssl${string}`]: string;
}

/** The test's database by another way. */
function urlBy(way: Way = {}): string {
  const { host, user = "reader", password = PASSWORD, ...parameters } = way;
  const url = new URL(database.url);
  if (host !== undefined) url.hostname = host;
  url.username = user;
  url.password = password === null ? "" : encodeURIComponent(password);
  for (const [name, value] of Object.entries(parameters))
    url.searchParams.set(name, value);
  return url.href;
}

const inWork = (name: string): string => join(workFolder, name);

/** Whether this way leads in, and the connection is encrypted; rejects as the connection does. */
async function isEncrypted(way: Way): Promise<boolean> {
  const config = parseSourceUrl(urlBy(way), {});
  const connection = await PostgresConnection.connect(config);
  try {
    const [row] = await connection.query<{ ssl: boolean }>(
      "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    );
    return row?.ssl ?? false;
  } finally {
    await connection.close();
  }
}

describe("sslmode", () => {
  test.for<{ name: string; way: (ca: string) => Way; encrypted: boolean }>([
    {
      name: "disable stays plain",
      way: () => ({ user: "plain", sslmode: "disable" }),
      encrypted: false,
    },
    {
      name: "prefer on loopback is plain where the server takes that",
      way: () => ({ user: "plain" }),
      encrypted: false,
    },
    {
      name: "prefer goes over to TLS where the server wants it",
      way: () => ({ sslmode: "prefer" }),
      encrypted: true,
    },
    {
      name: "require takes any certificate",
      way: () => ({ sslmode: "require" }),
      encrypted: true,
    },
    {
      name: "require with an authority checks for it",
      way: (sslrootcert) => ({ sslmode: "require", sslrootcert }),
      encrypted: true,
    },
    {
      name: "verify-ca takes any name",
      way: (sslrootcert) => ({
        host: "127.0.0.1",
        sslmode: "verify-ca",
        sslrootcert,
      }),
      encrypted: true,
    },
    {
      name: "verify-full takes a name of the certificate",
      way: (sslrootcert) => ({
        host: "localhost",
        sslmode: "verify-full",
        sslrootcert,
      }),
      encrypted: true,
    },
  ])("$name", async ({ way, encrypted }) => {
    expect(await isEncrypted(way(inWork("ca.pem")))).toBe(encrypted);
  });

  test.for<{ name: string; way: () => Way; code: string; words: RegExp }>([
    {
      name: "plain is refused by a server that wants TLS",
      way: () => ({ sslmode: "disable" }),
      code: "SOURCE_AUTH_FAILED",
      words: /no encryption|SSL off/,
    },
    {
      name: "verify-ca with another authority",
      way: () => ({
        sslmode: "verify-ca",
        sslrootcert: inWork("other-ca.pem"),
      }),
      code: "SOURCE_TLS_FAILED",
      words: /certificate/,
    },
    {
      name: "require with another authority",
      way: () => ({ sslmode: "require", sslrootcert: inWork("other-ca.pem") }),
      code: "SOURCE_TLS_FAILED",
      words: /certificate/,
    },
    {
      name: "verify-ca without an authority: those of Node.js do not know this one",
      way: () => ({ sslmode: "verify-ca" }),
      code: "SOURCE_TLS_FAILED",
      words: /certificate/,
    },
    {
      name: "verify-full by an address that the certificate does not name",
      way: () => ({
        host: "127.0.0.1",
        sslmode: "verify-full",
        sslrootcert: inWork("ca.pem"),
      }),
      code: "SOURCE_TLS_FAILED",
      words: /127\.0\.0\.1.*not in the cert/,
    },
    {
      name: "a certificate file that is not there",
      way: () => ({ sslmode: "verify-ca", sslrootcert: inWork("no.pem") }),
      code: "SOURCE_TLS_FAILED",
      words: /no\.pem/,
    },
  ])("refused: $name", async ({ way, code, words }) => {
    await expect(isEncrypted(way())).rejects.toMatchObject({
      code,
      message: expect.stringMatching(words),
    });
  });
});

interface Content {
  readonly rows: number;
  readonly sum: number;
  readonly hash: string;
}

async function expectSameContent(root: string): Promise<void> {
  const hash = "sum(('$X' || substr(md5(digest || payload), 1, 12))";
  const [truth] = await database.query<Content>(
    `SELECT count(*)::int AS rows, sum(id)::int AS sum,
      ${hash.replace("$X", "x")}::bit(48)::bigint)::text AS hash FROM items`,
  );
  const [found] = await queryDuckDb(
    `SELECT count(*)::int, sum(id)::int, ${hash.replace("$X", "0x")}::bigint)::varchar
    FROM read_parquet('${root}/public/items/**/*.parquet')`,
  );
  expect(found).toEqual([truth?.rows, truth?.sum, truth?.hash]);
}

/** Everything below a folder in which these words stand. */
function filesWith(folder: string, words: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(
    (name) => {
      const path = join(folder, name);
      return statSync(path).isFile() && readFileSync(path).includes(words);
    },
  );
}

const cuts = ["--partition-size", "4MiB", "--readers", "2", "--channels", "2"];

test("a sync over TLS with the password in the URL", async () => {
  const root = inWork("by-url");
  const url = urlBy({
    host: "localhost",
    sslmode: "verify-full",
    sslrootcert: inWork("ca.pem"),
  });
  const run = await runCommand(["sync", url, root, "-t", "items", ...cuts]);
  expect(run.exitCode, run.stderr).toBe(0);
  await expectSameContent(root);
  expect(run.stdout + run.stderr).not.toContain("Horse");
  expect(filesWith(root, "Horse")).toEqual([]);
});

test("a sync over TLS with the password from PGPASSWORD", async () => {
  const root = inWork("by-environment");
  const url = urlBy({ password: null, sslmode: "require" });
  const run = await runCommand(["sync", url, root, "-t", "items", ...cuts], {
    PGPASSWORD: PASSWORD,
  });
  expect(run.exitCode, run.stderr).toBe(0);
  await expectSameContent(root);
  expect(filesWith(root, "Horse")).toEqual([]);
});

describe("refusals of the command line", () => {
  test.for<{ name: string; way: Way; env?: Record<string, string> }>([
    { name: "a wrong password", way: { password: WRONG_PASSWORD } },
    {
      name: "a wrong PGPASSWORD",
      way: { password: null },
      env: { PGPASSWORD: WRONG_PASSWORD },
    },
    { name: "no password", way: { password: null } },
    { name: "a user that is not there", way: { user: "nobody_here" } },
  ])("$name", async ({ name, way, env }) => {
    const root = inWork(name.replaceAll(" ", "-"));
    const url = urlBy({ sslmode: "require", ...way });
    for (const more of [[], ["--json"], ["--log-level", "debug"]]) {
      const run = await runCommand(["sync", url, root, ...more], env);
      expect(run.exitCode, run.stderr).toBe(2);
      expect(run.stdout + run.stderr).toContain("SOURCE_AUTH_FAILED");
      expect(run.stdout + run.stderr).not.toMatch(/Donkey|Horse/);
    }
    expect(filesWith(workFolder, "Donkey")).toEqual([]);
  });

  test("what failed for its password is gone on with under the right one", async () => {
    const root = inWork("mended");
    const url = urlBy({ password: WRONG_PASSWORD, sslmode: "require" });
    const failed = await runCommand(["sync", url, root, "-t", "items"]);
    expect(failed.exitCode, failed.stderr).toBe(2);
    const again = await runCommand(["resume", root]);
    expect(again.exitCode, again.stderr).toBe(2);
    const run = await runCommand(["resume", root], { PGPASSWORD: PASSWORD });
    expect(run.exitCode, run.stderr).toBe(0);
    await expectSameContent(root);
    expect(filesWith(root, "Donkey")).toEqual([]);
    expect(filesWith(root, "Horse")).toEqual([]);
  });

  test("an authority that does not know the server", async () => {
    const url = urlBy({
      sslmode: "verify-full",
      sslrootcert: inWork("other-ca.pem"),
    });
    const run = await runCommand(["sync", url, inWork("refused")]);
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain("SOURCE_TLS_FAILED");
    expect(run.stderr).toMatch(/sslrootcert/);
    expect(run.stderr).not.toContain("Horse");
  });
});

describe("a Unix socket", () => {
  /** Port and database as by TCP; they name the socket's file. */
  function socketUrl(style: "host" | "parameter"): string {
    const { port, pathname } = new URL(database.url);
    const at = encodeURIComponent(serverFolder);
    const login = `reader:${encodeURIComponent(PASSWORD)}`;
    return style === "host"
      ? `postgres://${login}@${at}:${port}${pathname}`
      : `postgres://${login}@${pathname}?host=${at}&port=${port}`;
  }

  test.for(["host", "parameter"] as const)(
    "a sync, its folder given as %s",
    async (style) => {
      const root = inWork(`socket-${style}`);
      const args = ["sync", socketUrl(style), root, "-t", "items", ...cuts];
      const run = await runCommand(args);
      expect(run.exitCode, run.stderr).toBe(0);
      await expectSameContent(root);
    },
  );

  test("a socket that is not there is named", async () => {
    const url = `postgres://reader@/d?host=${encodeURIComponent(workFolder)}&port=5433`;
    const run = await runCommand(["sync", url, inWork("nowhere")]);
    expect(run.exitCode).toBe(3);
    expect(run.stderr).toContain("SOURCE_UNREACHABLE");
    expect(run.stderr).toContain(join(workFolder, ".s.PGSQL.5433"));
  });
});
