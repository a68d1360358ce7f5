/** How a run's rows go, and that people are told: in the plan, in the log, in the event of its start, to the inspector. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createDaemonLog, logEvents } from "../../daemon/api/log.ts";
import { SecretCover } from "../../daemon/api/secrets.ts";
import { readSettings } from "../../connectors/sources/airbyte/config.ts";
import { toAirbyteUrl } from "../../connectors/sources/airbyte/url.ts";
import { buildAirbyteDestination } from "../../daemon/airbyte/destination-request.ts";
import {
  describeHop,
  listArchitectures,
  resolveSourceUrl,
} from "../../daemon/architectures.ts";
import { buildRequest } from "../../daemon/config-request.ts";
import { readRecord } from "../../daemon/inspector/model/records.ts";
import { RunModel } from "../../daemon/inspector/model/run-model.ts";
import type { RunEvent } from "../../daemon/request.ts";
import { startRun } from "../../daemon/sync.ts";
import { runCommand } from "../fixtures/run-sync.ts";

const url = "generator:?columns=id:int&rows=10";
const reason = /the best that both sides have is COLUMNAR over sockets/;

test("between Millrace's own it is columns over sockets, and each hop is named", () => {
  const [hop, ...more] = listArchitectures({
    source: { url: "postgres://db/shop" },
    destination: { kind: "s3" },
  });
  expect(more).toEqual([]);
  expect(hop).toMatchObject({
    ...{ between: "postgres → s3", medium: "SOCKET", format: "COLUMNAR" },
    ...{ rule: "best", isFallback: false },
  });
  expect(hop && describeHop(hop)).toMatch(/^postgres → s3: SOCKET COLUMNAR, /);
  const [unnamed] = listArchitectures({ source: { url }, destination: null });
  expect(unnamed?.between).toBe("generator → a destination");
});

const ipc = {
  dataChannel: {
    version: "0.0.2",
    supportedSerialization: ["JSONL", "PROTOBUF"],
    supportedTransport: ["SOCKET", "STDIO"],
  },
};

test.for([
  { say: {}, way: "STDIO JSONL", reason: /says nothing of data channels/ },
  { say: { ipc }, way: "SOCKET PROTOBUF", reason: /best that both/ },
  { say: { ipc, format: "jsonl" }, way: "SOCKET JSONL", reason: /asked for/ },
  { say: { ipc, architecture: "stdio" }, way: "STDIO JSONL", reason: /asked/ },
  { say: { architecture: "socket" }, way: "SOCKET PROTOBUF", reason: /asked/ },
  { say: { format: "jsonl" }, way: "STDIO JSONL", reason: /says nothing/ },
] as const)(
  "with a connector of somebody else of whom $say is said it is $way, on either end",
  ({ say, way, reason }) => {
    const command = ["source-python"];
    const foreign = toAirbyteUrl({ command, ...say });
    const destination = buildAirbyteDestination({ command, ...say });
    const hops = listArchitectures({ source: { url: foreign }, destination });
    expect(hops.map(({ medium, format }) => `${medium} ${format}`)).toEqual([
      ...[way, "SOCKET COLUMNAR", way],
    ]);
    for (const at of [0, 2]) expect(hops[at]?.reason).toMatch(reason);
    expect(hops[0]?.between).toBe("source-python → airbyte");
    // and both processes are told to do so
    expect(readSettings(resolveSourceUrl(foreign))).toMatchObject({
      architecture: way.startsWith("SOCKET") ? "socket" : "stdio",
      format: way.endsWith("JSONL") ? "jsonl" : "protobuf",
    });
    expect(destination.channel.medium).toBe(
      way.startsWith("SOCKET") ? "sockets" : "stdio",
    );
  },
);

test("sockets that a connector says it does not have are refused where they are asked for", () => {
  const withoutSockets = {
    dataChannel: { ...ipc.dataChannel, supportedTransport: ["STDIO"] },
  };
  const url = toAirbyteUrl({
    ...{ command: ["x"], architecture: "socket", ipc: withoutSockets },
  });
  expect(() => resolveSourceUrl(url)).toThrow(
    /SOCKET cannot be had: x has no sockets/,
  );
});

test("what starts our own executables has decided, and its URL stays as it is", () => {
  const given = toAirbyteUrl({ input: { kind: "stdin" } });
  expect(resolveSourceUrl(given)).toBe(given);
  expect(resolveSourceUrl(url)).toBe(url);
  const [hop] = listArchitectures({
    source: { url: given },
    destination: null,
  });
  expect(hop).toMatchObject({ medium: "STDIO", format: "JSONL" });
});

test("`millrace plan` says it, for people and as JSON", async () => {
  const [text, json] = await Promise.all([
    runCommand(["plan", url]),
    runCommand(["plan", url, "--json"]),
  ]);
  expect(text.stdout).toMatch(reason);
  expect(JSON.parse(json.stdout)).toMatchObject({
    architecture: [
      {
        medium: "SOCKET",
        format: "COLUMNAR",
        reason: expect.stringMatching(reason),
      },
    ],
  });
});

test("a run tells it when it starts, to the log and to whoever looks on", async () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-architecture-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const events: RunEvent[] = [];
  const model = new RunModel();
  const request = buildRequest({ url, destination: join(folder, "out") });
  const run = startRun(request, (event) => events.push(event), {
    onInspected: (lines) => {
      for (const line of lines.split("\n").filter((text) => text !== "")) {
        const record = readRecord(JSON.parse(line));
        if (record) model.apply(record);
      }
    },
  });
  expect(await run.done).toMatchObject({ state: "succeeded" });
  const [started] = events.filter((event) => event.type === "run.started");
  const architecture = listArchitectures(request);
  expect(started).toMatchObject({ architecture });
  expect(model.run.architecture).toEqual(architecture.map(describeHop));
  const kept = RunModel.from(structuredClone(model.snapshot()));
  expect(kept.run.architecture).toEqual(model.run.architecture);

  const logged: string[] = [];
  const log = createDaemonLog(new SecretCover(() => []), "info", {
    write: (line: string) => void logged.push(line),
  });
  const subscribe: Parameters<typeof logEvents>[0]["subscribe"] = (listen) => {
    listen({
      ...{ type: "run.event", queueId: "q-1", runId: "r-1", sync: "shop" },
      ...{ sequence: 1, at: 0, event: started! },
    });
    return () => {};
  };
  logEvents({ subscribe }, log);
  expect(JSON.parse(logged[0] ?? "")).toMatchObject({ architecture });
});

test("files that go with records: standard streams, and a destination that copies them", () => {
  const command = ["source-python"];
  const files = toAirbyteUrl({ command, ipc, files: true });
  const [hop] = listArchitectures({
    source: { url: files },
    destination: { kind: "s3" },
  });
  expect(hop).toMatchObject({ medium: "STDIO", rule: "fileTransfer" });
  expect(readSettings(resolveSourceUrl(files)).architecture).toBe("stdio");
  const onto = (kind: "postgres" | "airbyte") => () =>
    listArchitectures({ source: { url: files }, destination: { kind } });
  expect(onto("postgres")).toThrow(/postgres does not copy files/);
  expect(onto("airbyte")).toThrow(/standard streams alone/);
  const given = toAirbyteUrl({
    input: { kind: "sockets", paths: ["/s/1.sock"], format: "JSONL" },
    configured: {
      streams: [
        {
          stream: { name: "docs", json_schema: {} },
          sync_mode: "full_refresh",
          destination_sync_mode: "append",
          include_files: true,
        },
      ],
    },
  });
  expect(() =>
    listArchitectures({
      source: { url: given },
      destination: { kind: "file" },
    }),
  ).toThrow(/DATA_CHANNEL_MEDIUM=STDIO/);
});
