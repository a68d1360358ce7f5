/** Mappers through a whole sync: the values that leave are never the ones that were hidden. */
import { createHash } from "node:crypto";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { test } from "../fixtures/postgres.ts";
import { runCommand } from "../fixtures/run-sync.ts";

const SALT = "some salt of sixteen";

test("rows arrive filtered, hashed and masked, and nothing of them is kept elsewhere", async ({
  pg,
}) => {
  await pg.query(
    "CREATE TABLE customers (id int PRIMARY KEY, email text, phone text, notes text, state text)",
  );
  await pg.query(
    `INSERT INTO customers SELECT i, CASE WHEN i % 10 = 0 THEN NULL ELSE 'c' || i || '@example.com' END,
       '555-01' || lpad(i::text, 3, '0'), 'private ' || i, CASE WHEN i % 4 = 0 THEN 'closed' ELSE 'open' END
     FROM generate_series(1, 200) i`,
  );
  const folder = await mkdtemp(join(tmpdir(), "millrace-mappers-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, "millrace.yaml");
  await writeFile(
    file,
    `syncs:
  crm:
    source: { kind: postgres, url: "${pg.url}" }
    destination: { kind: file, path: out }
    format: jsonl
    mappers:
      - tables: [customers]
        steps:
          - filter: state = 'open'
          - drop: [notes]
          - hash: { columns: [email], salt: "\${SALT}" }
          - mask: { columns: [phone], keepLast: 3 }
          - rename: { phone: phone_end }
`,
  );
  const { exitCode, stderr } = await runCommand(["sync", "-f", file, "crm"], {
    SALT,
  });
  expect(stderr).not.toContain(SALT);
  expect(exitCode).toBe(0);
  const names = await readdir(join(folder, "out"), { recursive: true });
  const texts = await Promise.all(
    names
      .filter((name) => name.endsWith(".jsonl"))
      .map((name) => readFile(join(folder, "out", name), "utf8")),
  );
  const rows = texts
    .flatMap((text) => text.trim().split("\n"))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .sort((a, b) => Number(a["id"]) - Number(b["id"]));
  expect(rows).toEqual(
    Array.from({ length: 200 }, (_, i) => i + 1)
      .filter((id) => id % 4 !== 0)
      .map((id) => ({
        id,
        email:
          id % 10 === 0
            ? null
            : createHash("sha256")
                .update(`${SALT}c${id}@example.com`)
                .digest("hex"),
        phone_end: `******${String(id).padStart(3, "0").slice(-3)}`,
        state: "open",
      })),
  );
  const ledger = await readFile(join(folder, "out/.millrace/ledger.sqlite"));
  expect(ledger.includes(SALT)).toBe(false);
  expect(ledger.includes("@example.com")).toBe(false);
});
