import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { runMillrace, test } from "./run-millrace.ts";

const url = "postgres://me:hunter2-secret@localhost:5432/shop";

describe("wrong use ends with 2, one line that says what, and the way out", () => {
  test.for([
    {
      name: "a misspelt option gets the nearest one",
      args: ["sync", url, "out", "--tabel", "orders"],
      says: ["unknown option '--tabel'", "did you mean --table?"],
      wayOut: "millrace sync --help",
    },
    {
      name: "a misspelt command gets the nearest one",
      args: ["snyc"],
      says: ["unknown command 'snyc'", "did you mean sync?"],
      wayOut: "millrace --help",
    },
    {
      name: "a source of another kind names what is supported",
      args: ["sync", "oracle://me:hunter2-secret@localhost/shop", "out"],
      says: ["oracle://", "postgres://, postgresql://"],
      wayOut: "millrace sync --help",
    },
    {
      name: "a destination of another kind names what is supported",
      args: ["sync", url, "gs://bucket/out"],
      says: ["gs://", "folders, file://, s3:// and postgres:// URLs"],
      wayOut: "millrace sync --help",
    },
    {
      name: "swapped arguments are told from a missing scheme",
      args: ["sync", "./out", url],
      says: ["'./out' is no URL", "postgres://user@host"],
      wayOut: "millrace sync --help",
    },
    {
      name: "no arguments",
      args: ["sync"],
      says: ["source and destination are missing"],
      wayOut: "millrace sync <source-url> <destination>",
    },
    {
      name: "no destination",
      args: ["sync", url],
      says: ["the destination is missing"],
      wayOut: "./out",
    },
    {
      name: "one argument too many",
      args: ["sync", url, "out", "more"],
      says: ["too many arguments"],
      wayOut: "millrace sync --help",
    },
    {
      name: "an option without its value",
      args: ["sync", url, "out", "--table"],
      says: ["--table", "argument missing"],
      wayOut: "millrace sync --help",
    },
    {
      name: "a mode that there is not",
      args: ["sync", url, "out", "--mode", "mirror"],
      says: ["--mode 'mirror'", "incremental-append (incremental)"],
      wayOut: "millrace sync --help",
    },
    {
      name: "a format that there is not",
      args: ["sync", url, "out", "--format", "parket"],
      says: ["--format 'parket'", "parquet, avro, csv, jsonl"],
      wayOut: "millrace sync --help",
    },
    {
      name: "channels out of bounds",
      args: ["sync", url, "out", "--channels", "0"],
      says: ["--channels '0'", "between 1 and 64"],
      wayOut: "millrace sync --help",
    },
    {
      name: "no duration",
      args: ["sync", url, "out", "--checkpoint-every", "soon"],
      says: ["--checkpoint-every 'soon'", "30s, 5m"],
      wayOut: "millrace sync --help",
    },
    {
      name: "a template that would put all tables into one folder",
      args: ["sync", url, "out", "--path", "data"],
      says: ["--path 'data'", "{stream}"],
      wayOut: "millrace sync --help",
    },
    {
      name: "incremental without a cursor",
      args: ["sync", url, "out", "--mode", "incremental"],
      says: ["--cursor is missing"],
      wayOut: "millrace sync --help",
    },
    {
      name: "columns of more than one table",
      args: ["sync", url, "out", "--columns", "id,name"],
      says: ["--columns needs exactly one table"],
      wayOut: "millrace sync --help",
    },
    {
      name: "plain encodings of another format",
      args: ["sync", url, "out", "--format", "csv", "--plain-encodings"],
      says: ["--plain-encodings", "only for parquet"],
      wayOut: "millrace sync --help",
    },
    {
      name: "a configuration file that there is not",
      args: ["sync", "-f", "nowhere.yaml"],
      says: ["nowhere.yaml does not exist"],
      wayOut: "millrace sync --help",
    },
    {
      name: "a configuration file beside a URL",
      args: ["sync", "-f", "millrace.yaml", url, "out"],
      says: ["come from the file"],
      wayOut: "millrace sync --help",
    },
  ])("$name", async ({ args, says, wayOut }, { folder }) => {
    const { exitCode, stdout, stderr } = await runMillrace(args, {
      cwd: folder,
    });
    expect(exitCode).toBe(2);
    expect(stdout).toBe("");
    const [first = "", second = ""] = stderr.split("\n");
    expect(first).toMatch(/^error USAGE: /);
    for (const part of says) expect(first).toContain(part);
    expect(second).toContain(wayOut);
    expect(stderr).not.toContain("hunter2");
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});

describe("help", () => {
  const commands = [
    "sync",
    "resume",
    "check",
    "discover",
    "plan",
    "runs",
    "state",
    "cat",
    "config-schema",
  ];

  test("names every command", async () => {
    const { exitCode, stdout, stderr } = await runMillrace(["--help"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    for (const command of commands) {
      expect(stdout).toMatch(new RegExp(`^  ${command} `, "m"));
    }
  });

  test.for(commands)("of %s has an example of it", async (command) => {
    const { exitCode, stdout } = await runMillrace([command, "--help"]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`$ millrace ${command}`);
  });

  test("a call without a command shows the help as a fault", async () => {
    const { exitCode, stdout, stderr } = await runMillrace([]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toContain("Usage: millrace");
  });

  test.for([["--version"], ["-V"], ["--version", "--help"]])(
    "the version is printed alone: %s",
    async (args) => {
      const { exitCode, stdout } = await runMillrace(args);
      expect(exitCode).toBe(0);
      expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    },
  );
});

describe("a configuration file", () => {
  const file = [
    "syncs:",
    "  shop:",
    "    source: { kind: postgres, url: 'postgres://me@localhost/shop' }",
    "    destination: { kind: file, path: out }",
    "  events:",
    "    source: { kind: postgres, url: 'postgres://me@localhost/events' }",
    "    destination: { kind: file, path: out }",
  ].join("\n");

  test("with two syncs and no name lists the names", async ({ folder }) => {
    await writeFile(join(folder, "millrace.yaml"), file);
    const args = ["sync", "-f", "millrace.yaml"];
    const { exitCode, stderr } = await runMillrace(args, { cwd: folder });
    expect(exitCode).toBe(2);
    expect(stderr).toContain("holds 2 syncs");
    expect(stderr).toContain("shop, events");
  });

  test("suggests the nearest name", async ({ folder }) => {
    await writeFile(join(folder, "millrace.yaml"), file);
    const args = ["sync", "-f", "millrace.yaml", "event"];
    const { exitCode, stderr } = await runMillrace(args, { cwd: folder });
    expect(exitCode).toBe(2);
    expect(stderr).toContain("did you mean events?");
  });

  test("is offered where it lies in the folder and nothing was given", async ({
    folder,
  }) => {
    await writeFile(join(folder, "millrace.yaml"), file);
    const { stderr } = await runMillrace(["sync"], { cwd: folder });
    expect(stderr).toContain("millrace sync -f millrace.yaml");
  });

  test("options beside it are held against its settings", async ({
    folder,
  }) => {
    await writeFile(join(folder, "millrace.yaml"), file);
    const { exitCode, stderr } = await runMillrace(
      ["sync", "-f", "millrace.yaml", "shop", "--mode", "incremental"],
      { cwd: folder },
    );
    expect(exitCode).toBe(2);
    expect(stderr).toContain("--cursor is missing");
  });

  test("with faults ends with 2 and names each with its line, and no secret", async ({
    folder,
  }) => {
    await writeFile(
      join(folder, "millrace.yaml"),
      file
        .replace("{ kind: file, path: out }", "{ kind: file, pth: out }")
        .replace("/shop'", "/shop', pasword: hunter2-secret")
        .replace("me@localhost/events", "me:hunter2-secret@localhost/events")
        .replace("postgres://me:", "mysql://me:"),
    );
    const { exitCode, stderr } = await runMillrace(
      ["sync", "-f", "millrace.yaml", "shop"],
      { cwd: folder },
    );
    expect(exitCode).toBe(2);
    expect(stderr).toContain(
      "error CONFIG_INVALID: millrace.yaml has 4 faults",
    );
    expect(stderr).toContain(
      "millrace.yaml:3 syncs.shop.source.pasword: is no known key; did you mean `password`?",
    );
    expect(stderr).toContain("millrace.yaml:4 syncs.shop.destination.pth");
    expect(stderr).toContain("millrace.yaml:4 syncs.shop.destination.path");
    expect(stderr).toContain("millrace.yaml:6 syncs.events.source.url");
    expect(stderr).not.toContain("hunter2");
  });

  test("its JSON Schema describes every key and parses as JSON", async () => {
    const { exitCode, stdout } = await runMillrace(["config-schema"]);
    expect(exitCode).toBe(0);
    const schema = JSON.parse(stdout);
    const sync = schema.properties.syncs.additionalProperties;
    expect(sync.additionalProperties).toBe(false);
    expect(sync.required).toEqual(["source", "destination"]);
    expect(sync.properties.checkpointEvery.description).toContain("5m");
    expect(sync.properties.format.enum).toEqual([
      "parquet",
      "avro",
      "csv",
      "jsonl",
    ]);
  });
});
