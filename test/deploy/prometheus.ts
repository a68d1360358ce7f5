/** Debian's Prometheus, as a package that is unpacked and not installed: nothing of the machine is changed. */
import { execFile, spawn } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const FETCH_MS_MAX = 120_000;
const READY_MS_MAX = 60_000;

/** The program, or why there is none. */
export async function findPrometheus(
  folder: string,
): Promise<{ path: string } | { missing: string }> {
  for (const path of ["/usr/bin/prometheus", "/usr/local/bin/prometheus"])
    if (existsSync(path)) return { path };
  try {
    const options = { cwd: folder, timeout: FETCH_MS_MAX };
    await run("apt-get", ["download", "prometheus"], options);
    const name = readdirSync(folder).find((file) => file.endsWith(".deb"));
    await run("dpkg", ["-x", join(folder, name ?? ""), folder], options);
    return { path: join(folder, "usr", "bin", "prometheus") };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { missing: `apt gives no prometheus: ${reason.split("\n")[0]}` };
  }
}

async function findPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}

export interface Prometheus {
  /** The series that a query gives now. */
  query(
    expression: string,
  ): Promise<
    readonly { metric: Record<string, string>; value: [number, string] }[]
  >;
  close(): Promise<void>;
}

/** Scrapes the target twice a second: a rate needs two of them. */
export async function startPrometheus(
  path: string,
  folder: string,
  target: { readonly address: string; readonly token: string },
): Promise<Prometheus> {
  const config = join(folder, "prometheus.yml");
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: "500ms", scrape_timeout: "500ms" },
      scrape_configs: [
        {
          job_name: "millrace",
          authorization: { credentials: target.token },
          static_configs: [{ targets: [target.address] }],
        },
      ],
    }),
  );
  const port = await findPort();
  const url = `http://127.0.0.1:${port}`;
  const child = spawn(
    path,
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: "ignore" },
  );
  const exited = new Promise<void>((resolve) =>
    child.on("exit", () => resolve()),
  );
  const began = performance.now();
  for (;;) {
    const isReady = await fetch(`${url}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) break;
    if (performance.now() - began > READY_MS_MAX || child.exitCode !== null)
      throw new Error("prometheus did not start");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    async query(expression) {
      const response = await fetch(
        `${url}/api/v1/query?query=${encodeURIComponent(expression)}`,
      );
      const body = (await response.json()) as {
        status: string;
        error?: string;
        data?: {
          result: { metric: Record<string, string>; value: [number, string] }[];
        };
      };
      if (body.status !== "success")
        throw new Error(`${expression}: ${body.error ?? response.status}`);
      return body.data?.result ?? [];
    },
    async close() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}
