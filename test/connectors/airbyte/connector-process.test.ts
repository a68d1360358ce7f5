import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, test as base } from "vitest";
import { processStartTime } from "../../../checkpoint/store/process-identity.ts";
import {
  describeExit,
  startConnector,
  type ConnectorProgram,
  type ConnectorStart,
} from "../../../connectors/airbyte/connector-process.ts";

interface Recorder {
  /** What stands for docker, and writes down how it is called. */
  readonly runtime: string;
  readonly folder: string;
  calls(): string[];
}

const test = base.extend<{ recorder: Recorder }>({
  // eslint-disable-next-line no-empty-pattern
  recorder: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), "millrace-recorder-"));
    const runtime = join(folder, "docker");
    const calls = join(folder, "calls");
    writeFileSync(calls, "");
    writeFileSync(
      runtime,
      `#!/bin/bash
echo "$*" >> ${calls}
for word in "$@"; do
  case "$word" in --volume=*:/millrace:ro) files=\${word#--volume=}; files=\${files%:/millrace:ro};; esac
done
case "$1" in kill|rm) exit 0;; esac
trap 'echo TERM >> ${calls}; [ "$STUBBORN" ] || exit 143' TERM
echo "config $(cat $files/config.json) of $(stat -c %a $files/config.json)" >> ${calls}
echo "secret $SECRET medium $DATA_CHANNEL_MEDIUM" >> ${calls}
echo '{"type":"LOG","log":{"level":"INFO","message":"begun"}}'
[ "$LEAVE" ] && exit $LEAVE
while :; do sleep 0.05; done
`,
    );
    chmodSync(runtime, 0o755);
    await use({
      runtime,
      folder,
      calls: () => readFileSync(calls, "utf8").trimEnd().split("\n"),
    });
    rmSync(folder, { recursive: true, force: true });
  },
});

function start(
  { runtime }: Recorder,
  more: Partial<ConnectorStart> = {},
  env: Record<string, string> = {},
): ReturnType<typeof startConnector> {
  return startConnector({
    program: {
      image: "airbyte/source-faker:6.2.1",
      runtime,
      runtimeArguments: ["--network=host"],
      env: { SECRET: "hunter2", ...env },
    },
    role: "source",
    verb: "read",
    files: { config: '{"key":"hunter2"}', catalog: "{}" },
    stdin: "ignore",
    killAfterMs: 200,
    onStderr: () => {},
    ...more,
  });
}

/** Resolves once it has written its first line. */
async function begun(
  connector: Awaited<ReturnType<typeof start>>,
): Promise<void> {
  await new Promise((resolve) => connector.stdout.once("data", resolve));
}

/** What is called when the container that was started first has to go. */
function removalOf({ calls }: Recorder): string[] {
  const name = /--name (\S+)/.exec(calls()[0] ?? "")?.[1];
  return [`kill ${name}`, `rm --force ${name}`];
}

function isGone(pid: number): boolean {
  return processStartTime(pid) === null;
}

/** By a process of its own, which can be killed. */
function startElsewhere(program: ConnectorProgram): {
  readonly pid: number;
  /** Of what the connector writes. */
  readonly firstLine: Promise<string>;
} {
  const module = new URL(
    "../../../connectors/airbyte/connector-process.ts",
    import.meta.url,
  );
  const start = { program, role: "source", verb: "read", stdin: "ignore" };
  const script = `
    import { startConnector } from ${JSON.stringify(module.href)};
    const connector = await startConnector({
      ...${JSON.stringify({ ...start, files: { config: "{}" } })},
      onStderr: () => {},
    });
    connector.stdout.pipe(process.stdout);
  `;
  const child = spawn(
    process.execPath,
    ["--input-type=module", "--eval", script],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const firstLine = new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.once("exit", () => reject(new Error("it has ended")));
  });
  return { pid: child.pid ?? -1, firstLine };
}

test("a container gets its files, sockets and variables, and no secret stands in its arguments", async ({
  recorder,
}) => {
  const connector = await start(recorder, {
    env: { DATA_CHANNEL_MEDIUM: "SOCKET" },
    mounts: [recorder.folder],
  });
  await begun(connector);
  await connector.end();
  const [call = "", ...rest] = recorder.calls();
  expect(call).toMatch(
    new RegExp(
      [
        "^run --rm --interactive --init --name millrace-[0-9a-f]{16} --log-driver=none --user=\\d+:\\d+",
        "--volume=/\\S+:/millrace:ro",
        `--volume=${recorder.folder}:${recorder.folder}`,
        "--env=SECRET --env=DATA_CHANNEL_MEDIUM --network=host airbyte/source-faker:6.2.1",
        "read --config /millrace/config.json --catalog /millrace/catalog.json$",
      ].join(" (?:--userns=keep-id )?"),
    ),
  );
  expect(call).not.toContain("hunter2");
  expect(rest).toEqual([
    'config {"key":"hunter2"} of 600',
    "secret hunter2 medium SOCKET",
    "TERM",
  ]);
  expect((await connector.exited).code).toBe(143);
});

test("one that does not hear is removed by its name", async ({ recorder }) => {
  const connector = await start(recorder, {}, { STUBBORN: "1" });
  await begun(connector);
  await connector.end();
  expect((await connector.exited).signal).toBe("SIGKILL");
  expect(recorder.calls().slice(-2)).toEqual(removalOf(recorder));
});

test("a container whose client is killed does not go on alone", async ({
  recorder,
}) => {
  const connector = await start(recorder);
  await begun(connector);
  process.kill(connector.pid, "SIGKILL");
  await connector.exited;
  expect(recorder.calls().slice(-2)).toEqual(removalOf(recorder));
});

test("one that ends by itself has no container left to be removed", async ({
  recorder,
}) => {
  const connector = await start(recorder, {}, { LEAVE: "0" });
  connector.stdout.resume();
  expect((await connector.exited).code).toBe(0);
  expect(recorder.calls().filter((call) => call.startsWith("rm"))).toEqual([]);
});

describe("SIGKILL of who has started it", () => {
  test("ends a command, what it has started, and its files", async () => {
    const victim = startElsewhere({
      command: [
        "bash",
        "-c",
        `trap "" TERM HUP; sleep 60 & echo "$2 $$ $!"; wait`,
      ],
    });
    const [path = "", ...pids] = (await victim.firstLine).split(" ");
    expect(pids.map((pid) => isGone(Number(pid)))).toEqual([false, false]);
    process.kill(victim.pid, "SIGKILL");
    await expect
      .poll(() => pids.map((pid) => isGone(Number(pid))))
      .toEqual([true, true]);
    await expect.poll(() => existsSync(dirname(path))).toBe(false);
  });

  test("ends a container", async ({ recorder }) => {
    const { runtime } = recorder;
    const victim = startElsewhere({ image: "airbyte/source-faker", runtime });
    await victim.firstLine;
    process.kill(victim.pid, "SIGKILL");
    await expect
      .poll(() => recorder.calls().slice(-2))
      .toEqual(removalOf(recorder));
  });
});

test.for([
  ["125", "CONNECTOR_NOT_STARTED"],
  ["127", "CONNECTOR_NOT_STARTED"],
  ["1", "CONNECTOR_FAILED"],
  ["137", "CONNECTOR_FAILED"],
] as const)("exit code %s: %s", async ([code, wanted], { recorder }) => {
  const connector = await start(recorder, {}, { LEAVE: code });
  connector.stdout.resume();
  const exit = await connector.exited;
  const error = describeExit(connector, exit, {
    role: "source",
    program: { image: "x" },
  });
  expect(error.code).toBe(wanted);
  expect(error.message).toContain(`exit code ${code}`);
});

test("what a command has started ends with it, and its files go", async () => {
  const connector = await startConnector({
    program: {
      command: ["bash", "-c", 'sleep 60 & echo "$0 $1 $2" $!; exit 5'],
    },
    role: "source",
    verb: "read",
    files: { config: "{}" },
    stdin: "ignore",
    onStderr: () => {},
  });
  let text = "";
  connector.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  expect((await connector.exited).code).toBe(5);
  const [, path = "", pid] = /^read --config (\S+) (\d+)/.exec(text) ?? [];
  expect(() => readFileSync(path)).toThrow(/ENOENT/);
  await expect.poll(() => isGone(Number(pid))).toBe(true);
});
