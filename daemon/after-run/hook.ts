/** One call of a hook: bounded in time and in what is kept of its answer. It never throws: what went wrong is its outcome. */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import type { RunSummary } from "../request.ts";
import { RUN_HERE, type AfterRunHook, type HookBody } from "./config.ts";
import { nameTable } from "../../proto/table-name.ts";

/** Calls of a URL that cannot be reached or answers 5xx, the first included. */
const CALLS_MAX = 3;
const CALL_AGAIN_MS = 1_000;
/** What is kept of an answer, from its end, in bytes. */
const ANSWER_BYTES_MAX = 4_096;
const KILL_AFTER_MS = 3_000;
/** Streams that are told one by one, so that what is sent stays small. */
const STREAMS_TOLD_MAX = 200;

/** What a hook is given, as JSON. */
export interface HookPayload {
  readonly sync: string;
  readonly runId: string | null;
  readonly state: "succeeded" | "partlyFailed" | "failed" | "cancelled";
  readonly rows: number;
  readonly streams: readonly {
    readonly stream: string;
    readonly state: string;
    readonly rows: number;
    readonly folder: string;
  }[];
  /** Of `streams`, those that are left out. */
  readonly streamsLeftOut: number;
  readonly elapsedMs: number | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

export interface HookOutcome {
  readonly succeeded: boolean;
  /** `exit code 1`, `HTTP 204`, … */
  readonly result: string;
  /** The end of what it said. */
  readonly answer: string;
  readonly elapsedMs: number;
}

export function describeRun(
  sync: string,
  runId: string | null,
  state: HookPayload["state"],
  summary: RunSummary | null,
): HookPayload {
  const streams = summary?.streams ?? [];
  const error =
    summary?.error ?? streams.find((one) => one.error !== null)?.error ?? null;
  return {
    sync,
    runId,
    state,
    rows: streams.reduce((sum, { rows }) => sum + rows, 0),
    streams: streams
      .slice(0, STREAMS_TOLD_MAX)
      .map(({ namespace, name, state: done, rows, folder }) => ({
        stream: nameTable({ namespace, name }),
        state: done,
        rows,
        folder,
      })),
    streamsLeftOut: Math.max(0, streams.length - STREAMS_TOLD_MAX),
    elapsedMs: summary?.elapsedMs ?? null,
    error: error && { code: error.code, message: error.message },
  };
}

export function isDue(
  { on }: Pick<AfterRunHook, "on">,
  state: HookPayload["state"],
): boolean {
  if (state === "cancelled") return on === "always";
  return on === "always" || (state === "succeeded") === (on === "success");
}

export async function callHook(
  hook: AfterRunHook,
  payload: HookPayload,
  signal: AbortSignal,
): Promise<HookOutcome> {
  const startedAt = performance.now();
  const limited = AbortSignal.any([
    signal,
    AbortSignal.timeout(hook.timeoutMs),
  ]);
  const { target } = hook;
  const said =
    target.kind === "command"
      ? await runCommand(target.command, hook.folder, payload, limited)
      : await post(target, payload, limited);
  return { ...said, elapsedMs: Math.round(performance.now() - startedAt) };
}

type Said = Omit<HookOutcome, "elapsedMs">;

function runCommand(
  [program = "", ...args]: readonly string[],
  folder: string,
  payload: HookPayload,
  signal: AbortSignal,
): Promise<Said> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: folder,
      stdio: ["pipe", "pipe", "pipe"],
      env: {
        ...process.env,
        MILLRACE_SYNC: payload.sync,
        MILLRACE_RUN_ID: payload.runId ?? "",
        MILLRACE_STATE: payload.state,
        MILLRACE_ROWS: String(payload.rows),
      },
    });
    let answer = Buffer.alloc(0);
    const keep = (chunk: Buffer): void => {
      answer = Buffer.concat([answer, chunk]).subarray(-ANSWER_BYTES_MAX);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    // a program that does not read what it is told may close its end first
    child.stdin.on("error", () => {});
    child.stdin.end(`${JSON.stringify(payload)}\n`);
    let isLate = false;
    let kill: NodeJS.Timeout | undefined;
    const stop = (): void => {
      isLate = true;
      child.kill("SIGTERM");
      kill = setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS);
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    const end = (succeeded: boolean, result: string): void => {
      signal.removeEventListener("abort", stop);
      clearTimeout(kill);
      resolve({ succeeded, result, answer: answer.toString("utf8") });
    };
    child.on("error", ({ message }) => end(false, message));
    child.on("close", (code, killedBy) => {
      const how =
        killedBy === null ? `exit code ${code}` : `signal ${killedBy}`;
      end(code === 0, isLate ? `${how}: stopped, it took too long` : how);
    });
  });
}

async function post(
  {
    url,
    headers,
    body,
  }: {
    readonly url: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: HookBody | null;
  },
  payload: HookPayload,
  signal: AbortSignal,
): Promise<Said> {
  for (let calls = 1; ; calls++) {
    const said = await postOnce({ url, headers, body }, payload, signal);
    if (!said.mayCallAgain || calls >= CALLS_MAX || signal.aborted)
      return said.said;
    await sleep(CALL_AGAIN_MS * calls, undefined, { signal }).catch(() => {});
  }
}

async function postOnce(
  {
    url,
    headers,
    body,
  }: {
    readonly url: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: HookBody | null;
  },
  payload: HookPayload,
  signal: AbortSignal,
): Promise<{ readonly said: Said; readonly mayCallAgain: boolean }> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body === null ? payload : fill(body, payload)),
      // the headers may hold a token that is for this host only
      redirect: "manual",
      signal,
    });
    const answer = await readEnd(response);
    return {
      said: {
        succeeded: response.ok,
        result: `HTTP ${response.status}`,
        answer,
      },
      mayCallAgain: response.status >= 500,
    };
  } catch (error) {
    const { cause } = error as { cause?: unknown };
    const reason = cause instanceof Error ? cause : error;
    const result = signal.aborted
      ? "stopped, it took too long"
      : reason instanceof Error
        ? reason.message
        : String(reason);
    return {
      said: { succeeded: false, result, answer: "" },
      mayCallAgain: true,
    };
  }
}

/** Filled in before it is written: what a run says of itself is never taken for a place. */
function fill(value: unknown, payload: HookPayload): unknown {
  if (value === RUN_HERE) return payload;
  if (Array.isArray(value)) return value.map((one) => fill(one, payload));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, fill(one, payload)]),
  );
}

async function readEnd({ body }: Response): Promise<string> {
  let kept = Buffer.alloc(0);
  for await (const chunk of body ?? [])
    kept = Buffer.concat([kept, chunk as Uint8Array]).subarray(
      -ANSWER_BYTES_MAX,
    );
  return kept.toString("utf8");
}
