/**
 * What the image holds and how it starts, without an engine: the files that its Dockerfile copies, in an empty folder,
 * started by its entry command as a user who owns nothing but the state, with its sockets on a tmpfs.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, inject, onTestFinished, test } from "vitest";

const repository = resolve(import.meta.dirname, "../..");
const dockerfile = join(repository, "deploy/docker/Dockerfile");

const START_MS_MAX = 60_000;

/** What the last stage is made of: its COPY lines, ENTRYPOINT, CMD, USER and ENV. */
async function readImage() {
  const text = await readFile(dockerfile, "utf8");
  const stage = text.slice(text.lastIndexOf("\nFROM "));
  const json = (name: string): string[] =>
    JSON.parse(new RegExp(`^${name} (\\[.*\\])$`, "m").exec(stage)?.[1] ?? "");
  return {
    files: [
      ...stage.matchAll(/^COPY --from=build \/build\/(\S+) (\S+)$/gm),
    ].map(([, from = "", to = ""]) => ({ from, to })),
    command: [...json("ENTRYPOINT"), ...json("CMD")],
    uid: Number(/^USER (\d+):/m.exec(stage)?.[1]),
    environment: [...stage.matchAll(/^ENV (.+)$/gm)]
      .flatMap(([, line = ""]) => [...line.matchAll(/(\w+)=(\S+)/g)])
      .map(([, name = "", value = ""]) => [name, value] as const),
  };
}

test.skipIf(process.getuid?.() !== 0)(
  "the image's files and command serve as a user without rights",
  async () => {
    const image = await readImage();
    const root = await mkdtemp(join(tmpdir(), "millrace-image-"));
    const sockets = await mkdtemp("/dev/shm/millrace-image-");
    onTestFinished(async () => {
      await rm(root, { recursive: true, force: true });
      await rm(sockets, { recursive: true, force: true });
    });
    await chmod(root, 0o755);
    const app = join(root, "opt/millrace");
    await mkdir(app, { recursive: true });
    for (const { from, to } of image.files)
      await cp(
        join(from === "dist" ? inject("builtFolder") : repository, from),
        join(app, to, to.endsWith("/") ? from : ""),
        { recursive: true },
      );
    const state = join(root, "var/lib/millrace");
    const etc = join(root, "etc/millrace");
    for (const folder of [state, etc]) await mkdir(folder, { recursive: true });
    for (const folder of [state, sockets])
      await chown(folder, image.uid, image.uid);
    await writeFile(
      join(etc, "millrace.yaml"),
      `ledger: ${state}/ledger.sqlite
daemon:
  listen: 127.0.0.1:0
syncs:
  rows:
    source: { kind: generator, url: "generator:?columns=id:int&rows=10" }
    destination: { kind: file, path: ${state}/out }
    schedule: "* * * * * *"
`,
    );
    const inImage = (text: string): string =>
      text
        .replace("/run/millrace", sockets)
        .replace(/^\/(opt|etc|var|tmp)\//, `${root}/$1/`);
    const [program = "", ...args] = image.command.map(inImage);
    const child = spawn(
      "setpriv",
      [
        ...[`--reuid=${image.uid}`, `--regid=${image.uid}`, "--clear-groups"],
        ...["--no-new-privs", program === "node" ? process.execPath : program],
        ...[...args, "--json"],
      ],
      {
        cwd: state,
        stdio: ["ignore", "pipe", "pipe"],
        env: Object.fromEntries(
          image.environment.map(([name, value]) => [name, inImage(value)]),
        ),
      },
    );
    let said = "";
    const hear = (chunk: Buffer): void => {
      said += chunk.toString();
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    const ended = once(child, "exit");
    onTestFinished(() => {
      child.kill("SIGKILL");
    });
    await expect
      .poll(
        () =>
          readFile(join(state, "out/generator/rows/_manifest.json"), "utf8"),
        {
          timeout: START_MS_MAX,
          message: "no run has ended",
        },
      )
      .toContain('"rows": 10')
      .catch((error: unknown) => {
        throw new Error(said, { cause: error });
      });
    child.kill("SIGTERM");
    const [code] = (await ended) as [number | null];
    expect(code, said).toBe(0);
  },
  2 * START_MS_MAX,
);
