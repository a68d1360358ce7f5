/** What the command line knows of a daemon: where it listens, how to speak to it, and how its refusals read. */
import { join } from "node:path";
import { errorCodes, ExtractError, type ErrorCode } from "../../proto/error.ts";
import { DEFAULT_URL, findToken, readUrlFile } from "../api/address.ts";
import { usage } from "./request.ts";

/** A daemon that does not answer for so long is as good as none. */
const ANSWER_MS_MAX = 30_000;
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const EVENT_LENGTH_MAX = 8 * 1024 * 1024;

export interface DaemonOptions {
  /** True where the option stands without an address. */
  readonly daemon?: string | true;
  readonly token?: string;
}

export interface DaemonPlace {
  readonly url: string;
  readonly token: string | null;
}

/**
 * The daemon that is meant: of the option, of the environment, of the folder at hand, else at the usual address.
 * @throws ExtractError USAGE for an address that is none
 */
export function findDaemon(
  { daemon, token }: DaemonOptions,
  env: NodeJS.ProcessEnv = process.env,
  cwd: string = process.cwd(),
): DaemonPlace {
  const named =
    (typeof daemon === "string" ? daemon : undefined) ??
    (env["MILLRACE_DAEMON"] || undefined);
  const url =
    named === undefined
      ? (readUrlFile(join(cwd, ".millrace")) ?? DEFAULT_URL)
      : readUrl(named);
  return {
    url,
    token: token ?? (env["MILLRACE_TOKEN"] || null) ?? findToken(url, env),
  };
}

function readUrl(text: string): string {
  const whole = text.includes("://") ? text : `http://${text}`;
  const url = URL.canParse(whole) ? new URL(whole) : null;
  if (
    url === null ||
    (url.protocol !== "http:" && url.protocol !== "https:") ||
    url.username !== "" ||
    url.password !== ""
  )
    throw usage(
      "--daemon takes an address like http://127.0.0.1:7420",
      "The token goes into --token or MILLRACE_TOKEN.",
    );
  return url.href.replace(/\/+$/, "");
}

/** One server-sent event. */
export interface DaemonNews {
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export class DaemonClient {
  readonly #place: DaemonPlace;

  constructor(place: DaemonPlace) {
    this.#place = place;
  }

  /**
   * The answer's JSON.
   * @throws ExtractError DAEMON_UNREACHABLE; the daemon's own fault, or DAEMON_REFUSED for one that has no code here
   */
  async ask<Answer>(
    method: "GET" | "POST",
    path: string,
    body?: object,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const response = await this.#send(path, {
      method,
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
      headers: {
        ...headers,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = await this.#readJson(response);
    if (!response.ok) throw readFault(answer, this.#place);
    return answer as Answer;
  }

  /** Events from now on, until the daemon closes or `signal` says so. */
  async *follow(
    query: string,
    signal: AbortSignal,
  ): AsyncGenerator<DaemonNews, void> {
    const response = await this.#send(`/events?${query}`, { signal });
    if (!response.ok)
      throw readFault(await this.#readJson(response), this.#place);
    let pending = "";
    const decoder = new TextDecoder();
    try {
      for await (const part of response.body ?? []) {
        pending += decoder.decode(part as Uint8Array, { stream: true });
        const events = pending.split("\n\n");
        pending = events.pop() ?? "";
        if (pending.length > EVENT_LENGTH_MAX) throw this.#unreadable();
        for (const event of events) {
          const news = readNews(event);
          if (news) yield news;
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      throw error instanceof ExtractError ? error : this.#unreachable(error);
    }
  }

  async #send(path: string, init: RequestInit): Promise<Response> {
    const { url, token } = this.#place;
    const authorization: Record<string, string> =
      token === null ? {} : { authorization: `Bearer ${token}` };
    try {
      return await fetch(`${url}/api/v1${path}`, {
        ...init,
        redirect: "error",
        headers: { ...authorization, ...(init.headers as object) },
      });
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  async #readJson(response: Response): Promise<unknown> {
    const parts: Uint8Array[] = [];
    let bytes = 0;
    try {
      for await (const part of response.body ?? []) {
        parts.push(part as Uint8Array);
        bytes += (part as Uint8Array).length;
        if (bytes > ANSWER_BYTES_MAX) throw this.#unreadable();
      }
      return JSON.parse(Buffer.concat(parts).toString("utf8"));
    } catch (error) {
      if (error instanceof ExtractError) throw error;
      if (error instanceof SyntaxError) throw this.#unreadable();
      throw this.#unreachable(error);
    }
  }

  #unreachable(cause: unknown): ExtractError {
    const { url } = this.#place;
    const inner = cause instanceof Error ? (cause.cause ?? cause) : cause;
    const code = (inner as NodeJS.ErrnoException).code;
    const reason =
      code === "ECONNREFUSED"
        ? "nothing listens there"
        : inner instanceof Error
          ? inner.message
          : String(inner);
    return new ExtractError(
      "DAEMON_UNREACHABLE",
      `no daemon answers at ${url}: ${reason}`,
      { daemon: url },
      { cause },
    );
  }

  #unreadable(): ExtractError {
    const { url } = this.#place;
    return new ExtractError(
      "DAEMON_REFUSED",
      `what answers at ${url} is no daemon of Millrace`,
      {
        daemon: url,
        help: "Name its address with --daemon or MILLRACE_DAEMON.",
      },
    );
  }
}

function readNews(text: string): DaemonNews | null {
  let type = "message";
  let data = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("event: ")) type = line.slice(7);
    if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (data === "") return null;
  try {
    return { type, data: JSON.parse(data) as Record<string, unknown> };
  } catch {
    return null;
  }
}

interface FaultBody {
  readonly error?: {
    readonly code?: unknown;
    readonly message?: unknown;
    readonly help?: unknown;
    readonly details?: unknown;
  };
}

function readFault(answer: unknown, { url, token }: DaemonPlace): ExtractError {
  const { code, message, help, details } = (answer as FaultBody).error ?? {};
  const known = typeof code === "string" && Object.hasOwn(errorCodes, code);
  const found =
    code === "UNAUTHENTICATED" && token === null
      ? "no token of this daemon was found for this user; give one with --token or MILLRACE_TOKEN"
      : help;
  return new ExtractError(
    known ? (code as ErrorCode) : "DAEMON_REFUSED",
    typeof message === "string" ? message : `${url} answered with a fault`,
    {
      ...(typeof details === "object" ? (details as object) : {}),
      ...(known || typeof code !== "string" ? {} : { code }),
      ...(typeof found === "string" ? { help: found } : {}),
    },
  );
}
