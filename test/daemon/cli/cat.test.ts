import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect } from "vitest";
import { renderRows } from "../../../daemon/cli/rows.ts";
import { createPaint, measureWidth } from "../../../daemon/cli/terminal.ts";
import { launcher, runMillrace, test } from "./run-millrace.ts";

/** Writes files below a folder; a value is its content, or the lines of a JSONL file. */
async function write(
  folder: string,
  files: Readonly<Record<string, string | Uint8Array | readonly object[]>>,
): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(
      path,
      Array.isArray(content)
        ? content.map((row) => `${JSON.stringify(row)}\n`).join("")
        : (content as string | Uint8Array),
    );
  }
}

const name = (partition: number, extension = ".jsonl") =>
  `p0000${partition}-e001-s000001-00${extension}`;

describe("cat", () => {
  test("prints a file's rows as a table, and NULL is told from empty text", async ({
    folder,
  }) => {
    await write(folder, {
      "a.csv": 'id,name,note\n1,Ada,""\n2,,x\n10,"Bo\nb",y\n',
    });
    const { exitCode, stdout } = await runMillrace(["cat", "a.csv"], {
      cwd: folder,
    });
    expect(exitCode).toBe(0);
    expect(stdout).toBe(
      ["id  name  note", "1   Ada", "2   NULL  x", "10  Bo b  y", ""].join(
        "\n",
      ),
    );
  });

  test("reads compressed files, and keeps digits that a double loses", async ({
    folder,
  }) => {
    const row = '{"id":9007199254740993,"amount":"1.10"}\n';
    await write(folder, {
      "z.jsonl.zst": zstdCompressSync(row),
      "g.jsonl.gz": gzipSync(row),
    });
    for (const file of ["z.jsonl.zst", "g.jsonl.gz"]) {
      const { stdout } = await runMillrace(["cat", file, "--json"], {
        cwd: folder,
      });
      expect(stdout).toBe(row);
    }
  });

  test("of a folder prints each table's rows up to the limit", async ({
    folder,
  }) => {
    const rows = Array.from({ length: 30 }, (_, id) => ({ id }));
    await write(folder, {
      [`public/orders/g000001/${name(0)}`]: rows.slice(0, 2),
      [`public/orders/g000001/${name(1)}`]: rows.slice(2),
      [`public/users/g000001/${name(0)}`]: [{ user: "ada" }],
      [`public/users/g000001/.${name(0)}.checkpoint.json`]: "{}",
      ".millrace/x.jsonl": [{ secret: 1 }],
    });
    const { exitCode, stdout, stderr } = await runMillrace(
      ["cat", ".", "--limit", "3"],
      { cwd: folder },
    );
    expect(exitCode).toBe(0);
    expect(stdout.split("\n")).toEqual([
      "public/orders",
      "id",
      " 0",
      " 1",
      " 2",
      "",
      "public/users",
      "user",
      "ada",
      "",
    ]);
    expect(stderr).toContain("no manifest");
  });

  test("leaves out files that the manifest does not list", async ({
    folder,
  }) => {
    const orders = "public/orders";
    await write(folder, {
      [`${orders}/g000001/${name(0)}`]: [{ id: 1 }],
      [`${orders}/g000002/${name(0)}`]: [{ id: 2 }],
      [`${orders}/_manifest.json`]: JSON.stringify({
        generations: [{ files: [{ path: `${orders}/g000001/${name(0)}` }] }],
      }),
    });
    const { stdout, stderr } = await runMillrace(["cat", ".", "--json"], {
      cwd: folder,
    });
    expect(stdout).toBe('{"id":1}\n');
    expect(stderr).toContain("1 file of an unfinished run left out");
  });

  test("data is printed as it is, whatever it looks like", async ({
    folder,
  }) => {
    const url = "postgres://me:hunter2@h/d";
    await write(folder, { "a.jsonl": [{ url }] });
    for (const args of [
      ["cat", "a.jsonl"],
      ["cat", "a.jsonl", "--json"],
    ]) {
      const { stdout } = await runMillrace(args, { cwd: folder });
      expect(stdout).toContain(url);
    }
  });

  test("control characters in data do not reach the terminal", async ({
    folder,
  }) => {
    await write(folder, { "a.jsonl": [{ a: "x\u001b[2Jy\u0007" }] });
    const { stdout } = await runMillrace(["cat", "a.jsonl"], { cwd: folder });
    expect(stdout).toBe("a\nxy\ufffd\n");
  });

  test.for([
    { args: ["cat"], says: "missing required argument" },
    { args: ["cat", "nowhere"], says: "nowhere does not exist" },
    { args: ["cat", "."], says: "there are no data files in ." },
    { args: ["cat", "a.txt"], says: "a.txt" },
    { args: ["cat", "a.txt", "--limit", "-1"], says: "--limit '-1'" },
  ])("$args is wrong use", async ({ args, says }, { folder }) => {
    await write(folder, { "a.txt": "hello" });
    const { exitCode, stdout, stderr } = await runMillrace(args, {
      cwd: folder,
    });
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(/^error USAGE: /);
    expect(stderr).toContain(says);
  });

  test("a file that is not what its name says fails by name", async ({
    folder,
  }) => {
    await write(folder, { "a.parquet": "no parquet" });
    const { exitCode, stderr } = await runMillrace(["cat", "a.parquet"], {
      cwd: folder,
    });
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(/^error DESTINATION_FAILED: .*a\.parquet/);
  });

  test("ends quietly when its reader goes away", async ({ folder }) => {
    const rows = Array.from({ length: 100_000 }, (_, id) => ({ id }));
    await write(folder, { "a.jsonl": rows });
    const child = spawn(
      process.execPath,
      [launcher, "cat", "a.jsonl", "--limit", "100000", "--json"],
      {
        cwd: folder,
        env: { PATH: process.env["PATH"] },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    let stderr = "";
    child.stderr.on("data", (part: Buffer) => (stderr += part.toString()));
    await once(child.stdout, "data");
    child.stdout.destroy();
    const [exitCode] = (await once(child, "close")) as [number];
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  });
});

describe("rows on a terminal", () => {
  const plain = createPaint(false);
  const row = Object.fromEntries(
    Array.from({ length: 16 }, (_, i) => [`column_${i}`, "v".repeat(50)]),
  );

  test.for([40, 80])("too many columns for %d go down the page", (width) => {
    const lines = renderRows([row, row], plain, width);
    expect(lines).toHaveLength(2 * 17);
    expect(lines[17]).toBe("row 2");
    for (const line of lines) {
      expect(measureWidth(line)).toBeLessThanOrEqual(width);
    }
  });

  test("columns that fit are cut to the width", () => {
    const lines = renderRows([row], plain, 200);
    expect(lines).toHaveLength(2);
    expect(measureWidth(lines[1] ?? "")).toBeLessThanOrEqual(200);
  });

  test("rows with different keys share one table", () => {
    expect(renderRows([{ a: 1 }, { b: 2n }], plain, null)).toEqual([
      "a     b",
      "1     NULL",
      "NULL  2",
    ]);
  });
});
