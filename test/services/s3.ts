/**
 * A real S3 server for the tests: the one that TEST_S3_ENDPOINT, TEST_S3_KEY and TEST_S3_SECRET name, else a versitygw
 * of our own for the time of the run. It listens on loopback only and cannot outlive the process that started it.
 */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  rmdirSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePort } from "../../deploy/demo/cluster.ts";
import { keep } from "./keeper.ts";
import { findCacheFolder } from "./postgres.ts";

const MODULE = "github.com/versity/versitygw/cmd/versitygw";
const VERSION = "v1.8.0";
/** Two minutes on one core. */
const INSTALL_MS_MAX = 900_000;
const START_POLL_MS = 20;
/** Another process may take the port between the probe and the bind. */
const PORT_ATTEMPTS_MAX = 5;

/** What the server's own region is; a request signed for another one is refused. */
export const S3_REGION = "us-east-1";

export interface S3Service {
  /** `http://127.0.0.1:9000`; the buckets are in the path. */
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Where it comes from, for the report. */
  readonly origin: string;
  /** Of the server; null where it is not ours. */
  readonly pid: number | null;
  /** Where buckets are folders and objects files; null where it is not ours. */
  readonly folder: string | null;
  /** Ends the server if it is ours. */
  stop(): Promise<void>;
}

/**
 * The server's program in the cache folder, built there unless it is. Wants Go and its module proxy.
 * @throws Error saying what is missing and how to get it
 */
function installVersitygw(): string {
  const folder = join(findCacheFolder(), "versitygw", VERSION);
  const program = join(folder, "versitygw");
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  // built beside and renamed, so that nobody runs half a program
  const building = mkdtempSync(join(folder, "build-"));
  try {
    execFileSync("go", ["install", `${MODULE}@${VERSION}`], {
      env: { ...process.env, GOBIN: building },
      stdio: ["ignore", "ignore", "pipe"],
      timeout: INSTALL_MS_MAX,
    });
    renameSync(join(building, "versitygw"), program);
  } catch (error) {
    throw new Error(
      `no S3 server: TEST_S3_ENDPOINT is not set, and \`go install ${MODULE}@${VERSION}\` failed: ${String(error)}`,
      { cause: error },
    );
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
  return program;
}

/**
 * Starts a server of our own in a temporary folder.
 * @throws Error when its program cannot be had, or it does not start
 */
export async function startS3(): Promise<S3Service> {
  const program = installVersitygw();
  let sidecar = false;
  for (let attempt = 1; ; attempt += 1) {
    const folder = mkdtempSync(join(tmpdir(), "millrace-s3-"));
    try {
      const port = await findFreePort();
      return await launch(program, { folder, port, sidecar });
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      const lacksAttributes = /xattr/.test(String(error)) && !sidecar;
      const portTaken = /address already in use/i.test(String(error));
      if (lacksAttributes) sidecar = true;
      else if (!portTaken || attempt >= PORT_ATTEMPTS_MAX) throw error;
    }
  }
}

interface Place {
  readonly folder: string;
  readonly port: number;
  /** Where the file system has no extended attributes: metadata in files of their own. */
  readonly sidecar: boolean;
}

async function launch(
  program: string,
  { folder, port, sidecar }: Place,
): Promise<S3Service> {
  const [data, accounts, beside] = ["data", "accounts", "metadata"].map(
    (name) => join(folder, name),
  ) as [string, string, string];
  for (const path of [data, accounts, beside]) mkdirSync(path);
  if (!sidecar) rmdirSync(beside);
  const accessKeyId = "millrace-test";
  const secretAccessKey = "millrace-test-secret";
  const endpoint = `http://127.0.0.1:${port}`;
  const { pid, end } = await keep(
    "versitygw",
    folder,
    [
      ...[program, "--port", `127.0.0.1:${port}`, "--quiet"],
      ...["--iam-dir", accounts, "--region", S3_REGION, "--keep-alive"],
      ...["posix", ...(sidecar ? ["--sidecar", beside] : []), data],
    ],
    () => answers(endpoint),
    {
      env: {
        PATH: process.env["PATH"],
        ROOT_ACCESS_KEY: accessKeyId,
        ROOT_SECRET_KEY: secretAccessKey,
      },
      pollMs: START_POLL_MS,
    },
  );
  return {
    endpoint,
    accessKeyId,
    secretAccessKey,
    origin: `versitygw ${VERSION}`,
    pid,
    folder: data,
    stop: end,
  };
}

async function answers(endpoint: string): Promise<boolean> {
  try {
    await (await fetch(endpoint)).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

/**
 * Makes a user who owns no bucket, and may therefore do nothing with another's.
 * @throws Error where the server is not ours
 */
export function addStranger(
  service: S3Service,
  accessKeyId: string,
  secretAccessKey: string,
): void {
  if (service.folder === null) throw new Error("the server is not ours");
  execFileSync(
    installVersitygw(),
    [
      ...["admin", "--access", service.accessKeyId],
      ...["--secret", service.secretAccessKey],
      ...["--endpoint-url", service.endpoint, "create-user"],
      ...["--access", accessKeyId, "--secret", secretAccessKey],
      ...["--role", "user"],
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
}

/** The server that a test run uses: the given one, else our own. */
export async function provideS3(): Promise<S3Service> {
  const endpoint = process.env["TEST_S3_ENDPOINT"] ?? "";
  if (endpoint === "") return startS3();
  const accessKeyId = process.env["TEST_S3_KEY"] ?? "";
  const secretAccessKey = process.env["TEST_S3_SECRET"] ?? "";
  if (accessKeyId === "" || secretAccessKey === "")
    throw new Error(
      "TEST_S3_ENDPOINT is set; TEST_S3_KEY and TEST_S3_SECRET belong to it",
    );
  return {
    endpoint,
    accessKeyId,
    secretAccessKey,
    origin: "TEST_S3_ENDPOINT",
    pid: null,
    folder: null,
    stop: async () => {},
  };
}
