/** Which folders of sockets a sweep takes away, and which stay. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test as base } from "vitest";
import { processStartTime } from "../../../checkpoint/store/process-identity.ts";
import {
  createRunFolder,
  createSocketFolder,
  leaveRunFolder,
  OWNER_FILE,
  type RunFolderOwner,
} from "../../../daemon/run-folder.ts";
import { sweepRunFolders } from "../../../daemon/sweeper/run-folders.ts";

const DAY_MS = 86_400_000;

const test = base.extend<{ place: string }>({
  // eslint-disable-next-line no-empty-pattern
  place: async ({}, use) => {
    const place = mkdtempSync(join(tmpdir(), "sweep-"));
    try {
      await use(place);
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  },
});

const make = (place: string) =>
  createRunFolder({ XDG_RUNTIME_DIR: place }).path;

function changeOwner(folder: string, change: Partial<RunFolderOwner>): void {
  const file = join(folder, OWNER_FILE);
  const owner = JSON.parse(readFileSync(file, "utf8")) as RunFolderOwner;
  writeFileSync(file, JSON.stringify({ ...owner, ...change }));
}

/** Of a process that lived a moment ago. */
async function findDead(): Promise<{ pid: number; startTime: string | null }> {
  const child = spawn(process.execPath, ["-e", "process.stdin.resume()"]);
  await once(child, "spawn");
  const pid = child.pid ?? 0;
  const startTime = processStartTime(pid);
  child.kill("SIGKILL");
  await once(child, "close");
  return { pid, startTime };
}

/** A socket whose listener has died: its file stays. */
async function leaveSocket(path: string): Promise<void> {
  const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => console.log("up"))`;
  const child = spawn(process.execPath, ["-e", script]);
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "close");
}

async function listen(path: string) {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    count: () => connections,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

describe("a folder whose owner is dead", () => {
  test("goes with all its sockets", async ({ place }) => {
    const folder = make(place);
    await leaveSocket(join(folder, "keeper.sock"));
    await leaveSocket(join(createSocketFolder(folder, 3), "1.sock"));
    changeOwner(folder, await findDead());
    expect(await sweepRunFolders({ places: [place], isDry: true })).toEqual({
      removed: [folder],
      faults: [],
    });
    expect(existsSync(folder)).toBe(true);
    expect(await sweepRunFolders({ places: [place] })).toEqual({
      removed: [folder],
      faults: [],
    });
    expect(existsSync(folder)).toBe(false);
  });

  test("goes although its pid is another process's by now", async ({
    place,
  }) => {
    const folder = make(place);
    changeOwner(folder, { startTime: "00000000:1" });
    await sweepRunFolders({ places: [place] });
    expect(existsSync(folder)).toBe(false);
  });

  test("stays while a keeper listens in it, who is not disturbed", async ({
    place,
  }) => {
    const folder = make(place);
    const keeper = await listen(join(folder, "keeper.sock"));
    changeOwner(folder, await findDead());
    const sweep = { places: [place], now: Date.now() + 2 * DAY_MS };
    expect((await sweepRunFolders(sweep)).removed).toEqual([]);
    expect(existsSync(folder)).toBe(true);
    expect(keeper.count()).toBe(0);
    await keeper.close();
    expect((await sweepRunFolders(sweep)).removed).toEqual([folder]);
  });

  test("stays with anything in it that no run has put there", async ({
    place,
  }) => {
    for (const spoil of [
      (folder: string) => writeFileSync(join(folder, "notes.txt"), "mine"),
      (folder: string) => symlinkSync("/etc", join(folder, "e1")),
      (folder: string) =>
        mkdirSync(join(folder, "e1", "deep"), { recursive: true }),
      (folder: string) => chmodSync(folder, 0o755),
    ]) {
      const folder = make(place);
      changeOwner(folder, await findDead());
      spoil(folder);
      const sweep = { places: [place], now: Date.now() + 2 * DAY_MS };
      expect((await sweepRunFolders(sweep)).removed).toEqual([]);
      expect(existsSync(folder)).toBe(true);
    }
  });
});

test("a folder that was left to its keeper goes with the keeper, also while its process lives on", async ({
  place,
}) => {
  const folder = make(place);
  const keeper = await listen(join(folder, "keeper.sock"));
  leaveRunFolder(folder);
  await sweepRunFolders({ places: [place] });
  expect(existsSync(folder)).toBe(true);
  await keeper.close();
  await sweepRunFolders({ places: [place] });
  expect(existsSync(folder)).toBe(false);
});

test("a folder whose owner lives stays, however old it is", async ({
  place,
}) => {
  const folder = make(place);
  const now = Date.now() + 1000 * DAY_MS;
  expect(await sweepRunFolders({ places: [place], now })).toEqual({
    removed: [],
    faults: [],
  });
  expect(existsSync(folder)).toBe(true);
});

test.for([
  { name: "without an owner", owner: null },
  { name: "with half an owner", owner: '{"pid": 1' },
  {
    name: "of another container",
    owner: '{"pid":1,"startTime":"x:1","pidNamespace":"pid:[1]"}',
  },
])(
  "a folder $name goes after a day, unless somebody answers in it",
  async ({ owner }, { place }) => {
    const [folder, answering] = [make(place), make(place)];
    for (const one of [folder, answering]) {
      if (owner === null) rmSync(join(one, OWNER_FILE));
      else writeFileSync(join(one, OWNER_FILE), owner);
    }
    await leaveSocket(join(folder, "keeper.sock"));
    const keeper = await listen(join(answering, "keeper.sock"));
    expect((await sweepRunFolders({ places: [place] })).removed).toEqual([]);
    const now = Date.now() + DAY_MS + 1_000;
    expect((await sweepRunFolders({ places: [place], now })).removed).toEqual([
      folder,
    ]);
    await keeper.close();
  },
);

test("what only looks like one of ours stays", async ({ place }) => {
  const names = ["millrace-e2e-abcdef", "millrace", "other-abcdef"];
  for (const name of names) mkdirSync(join(place, name), { mode: 0o700 });
  symlinkSync(join(place, "millrace"), join(place, "millrace-abcdef"));
  const now = Date.now() + 2 * DAY_MS;
  expect((await sweepRunFolders({ places: [place], now })).removed).toEqual([]);
  for (const name of names) expect(existsSync(join(place, name))).toBe(true);
});
