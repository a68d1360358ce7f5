/** An API that listens, with a ledger that holds one finished run. */
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as base, vi } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import { createDaemonLog } from "../../../daemon/api/log.ts";
import { SecretCover } from "../../../daemon/api/secrets.ts";
import {
  startApi,
  type Api,
  type ApiSettings,
} from "../../../daemon/api/server.ts";
import { buildRequest } from "../../../daemon/config-request.ts";
import { identifySync } from "../../../daemon/identity.ts";
import { startRun } from "../../../daemon/sync.ts";
import type { SyncView } from "../../../daemon/service/types.ts";
import { RecordingService } from "./recording-service.ts";

// the first test of a file waits for a run with its processes, on a machine that may be busy
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

/** What has not come by then never will. */
const UNTIL_MS_MAX = 30_000;

export async function until(isTrue: () => boolean): Promise<void> {
  const began = performance.now();
  while (!isTrue()) {
    if (performance.now() - began > UNTIL_MS_MAX)
      throw new Error(`still waiting for ${isTrue.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export const tokens = {
  viewer: "viewer-token-0123456789",
  operator: "operator-token-0123456789",
  admin: "admin-token-0123456789",
} as const;

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly json: Record<string, never>;
}

export interface Ask {
  readonly token?: string | null;
  readonly body?: unknown;
  /** As it is, in place of the JSON of `body`. */
  readonly raw?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One request; `fetch` would not let the Host header be chosen. */
export function ask(
  url: string,
  method: string,
  path: string,
  { token = tokens.admin, body, raw, headers = {} }: Ask = {},
): Promise<Answer> {
  const content = raw ?? (body === undefined ? null : JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      `${url}${path}`,
      {
        method,
        agent: false,
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(content === null ? {} : { "content-type": "application/json" }),
          ...headers,
        },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part: string) => (text += part));
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: parse(text),
          }),
        );
      },
    );
    sent.on("error", reject);
    if (content !== null) sent.write(content);
    sent.end();
  });
}

function parse(text: string): Record<string, never> {
  try {
    return JSON.parse(text) as Record<string, never>;
  } catch {
    return {};
  }
}

export interface Scene {
  readonly folder: string;
  readonly ledger: Ledger;
  readonly service: RecordingService;
  /** Of the run that the ledger holds. */
  readonly runId: string;
  readonly logged: string[];
  readonly start: (settings?: Partial<ApiSettings>) => Promise<Api>;
}

export const SYNC = "numbers";
export const ROWS = 1000;

const tokenList = (["viewer", "operator", "admin"] as const).map((role) => ({
  name: `the ${role}`,
  role,
  token: tokens[role],
}));

async function copyOnce(folder: string) {
  const request = buildRequest({
    name: SYNC,
    url: `generator:?columns=id:int,word:string&rows=${ROWS}`,
    destination: join(folder, "out"),
    ledgerPath: join(folder, "ledger.sqlite"),
  });
  const { runId, state } = await startRun(request, () => {}).done;
  if (state !== "succeeded") throw new Error(`the run ${state}`);
  return { runId, syncId: identifySync(request) };
}

/** The run is real and is made once for each file. */
export const test = base.extend<{
  copied: { folder: string; runId: string; syncId: string };
  scene: Scene;
}>({
  copied: [
    // oxlint-disable-next-line no-empty-pattern -- vitest reads the fixtures from the pattern
    async ({}, use) => {
      const folder = mkdtempSync(join(tmpdir(), "millrace-api-"));
      await use({ folder, ...(await copyOnce(folder)) });
      rmSync(folder, { recursive: true });
    },
    { scope: "file" },
  ],
  scene: async ({ copied: { folder, runId, syncId } }, use) => {
    const ledger = Ledger.open(join(folder, "ledger.sqlite"), {
      create: false,
    });
    const sync: SyncView = {
      name: SYNC,
      syncId,
      source: "generator:?columns=id:int",
      destination: join(folder, "out"),
      mode: "full-refresh-overwrite",
      schedule: null,
      nextRunAt: null,
      isPaused: false,
      pause: null,
      queued: 0,
      running: [],
      lastRun: ledger.findRun(runId),
    };
    const service = new RecordingService(ledger, [sync]);
    const logged: string[] = [];
    const apis: Api[] = [];
    await use({
      folder,
      ledger,
      service,
      runId,
      logged,
      start: async (settings = {}) => {
        const cover = settings.cover ?? new SecretCover(() => []);
        const api = await startApi(service, {
          listen: { host: "127.0.0.1", port: 0 },
          tokens: tokenList,
          tokenFile: join(folder, "daemon.json"),
          history: ledger,
          version: "0.0.0",
          log: createDaemonLog(cover, "debug", {
            write: (line: string) => void logged.push(line),
          }),
          inspector: null,
          ...settings,
          cover,
        });
        apis.push(api);
        return api;
      },
    });
    for (const api of apis) await api.close();
    ledger.close();
  },
});
