/** What `millrace inspect` asks of a daemon's inspector. */
import type { ListedRun } from "../inspector/model/listed-run.ts";
import type { RecordWindow } from "../inspector/past-runs.ts";
import { errorCodes, ExtractError, type ErrorCode } from "../../proto/error.ts";
import type { DaemonPlace } from "./daemon-client.ts";

/** A daemon that does not answer for so long is as good as none. */
const ANSWER_MS_MAX = 30_000;
const EVENT_CHARS_MAX = 64 * 1024 * 1024;

export class InspectClient {
  readonly #place: DaemonPlace;

  constructor(place: DaemonPlace) {
    this.#place = place;
  }

  /** Newest first. */
  async runs(): Promise<readonly ListedRun[]> {
    const answer = (await this.#ask("/runs")) as { runs: readonly ListedRun[] };
    return answer.runs;
  }

  /** The newest records of a run, and how it stood before them. */
  async window(runId: string): Promise<RecordWindow> {
    const path = `/runs/${encodeURIComponent(runId)}/window`;
    return (await this.#ask(path)) as RecordWindow;
  }

  /** Records from a number on, until the run is over or the daemon has gone. */
  async *follow(runId: string, after: number): AsyncGenerator<unknown, void> {
    const path = `/runs/${encodeURIComponent(runId)}/records?after=${after}`;
    const response = await this.#send(path, {});
    const decoder = new TextDecoder();
    let pending = "";
    for await (const part of response.body ?? []) {
      pending += decoder.decode(part as Uint8Array, { stream: true });
      if (pending.length > EVENT_CHARS_MAX) return;
      const events = pending.split("\n\n");
      pending = events.pop() ?? "";
      for (const event of events) yield* readRecords(event);
    }
  }

  async #ask(path: string): Promise<unknown> {
    const signal = AbortSignal.timeout(ANSWER_MS_MAX);
    return (await this.#send(path, { signal })).json();
  }

  async #send(path: string, init: RequestInit): Promise<Response> {
    const { url, token } = this.#place;
    let response: Response;
    try {
      response = await fetch(`${url}/inspector/api${path}`, {
        ...init,
        redirect: "error",
        headers: token === null ? {} : { authorization: `Bearer ${token}` },
      });
    } catch (cause) {
      throw new ExtractError(
        "DAEMON_UNREACHABLE",
        `no daemon answers at ${url}`,
        { url },
        { cause },
      );
    }
    if (response.ok) return response;
    throw await readFault(response);
  }
}

async function readFault(response: Response): Promise<ExtractError> {
  const body = (await response.json().catch(() => null)) as {
    readonly error?: { readonly code?: string; readonly message?: string };
  } | null;
  const { code = "", message } = body?.error ?? {};
  return new ExtractError(
    Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : "DAEMON_REFUSED",
    message ?? `the daemon answered ${response.status}`,
    { status: response.status },
  );
}

function readRecords(event: string): readonly unknown[] {
  if (!event.startsWith("event: records\n")) return [];
  const data = event.slice(event.indexOf("data: ") + "data: ".length);
  return (JSON.parse(data) as { records: readonly unknown[] }).records;
}
