/** A daemon of the real command line on a configuration of the test's own, and its API as a client meets it. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DaemonEvent } from "../../../daemon/service/types.ts";
import type { RunSummary } from "../../../daemon/request.ts";
import { waitFor, type Destination, type Running } from "./command.ts";

interface Ready {
  readonly type: "daemon.ready";
  readonly url: string;
  readonly syncs: readonly {
    readonly name: string;
    readonly nextRunAt: number | null;
  }[];
}

export interface StartedDaemon {
  readonly running: Running;
  readonly events: readonly DaemonEvent[];
  ready(): Promise<Ready>;
  /** Of the entries of this sync that have ended so far. */
  summaries(sync: string): RunSummary[];
  call(method: "GET" | "POST", path: string, body?: unknown): Promise<Answer>;
  trigger(sync: string, body?: object): Promise<string>;
}

export interface Answer {
  readonly status: number;
  // oxlint-disable-next-line typescript/no-explicit-any -- a test knows what it asked for
  readonly body: any;
}

export function writeConfig({ root }: Destination, config: object): string {
  const file = join(root, "millrace.yaml");
  // JSON is YAML
  writeFileSync(file, JSON.stringify(config, null, 1));
  return file;
}

export function startDaemon(destination: Destination): StartedDaemon {
  const file = join(destination.root, "millrace.yaml");
  const running = destination.start("daemon", "-f", file);
  const events = running.events as unknown as readonly DaemonEvent[];
  const ready = () =>
    waitFor("a daemon that serves", () => {
      if (running.isOver()) throw new Error(running.stderr());
      return (running.events as unknown as readonly Ready[]).find(
        ({ type }) => type === "daemon.ready",
      );
    });
  const call = async (
    method: "GET" | "POST",
    path: string,
    body?: unknown,
  ): Promise<Answer> => {
    const { url } = await ready();
    const { token } = JSON.parse(
      readFileSync(join(destination.root, ".millrace/daemon.json"), "utf8"),
    ) as { token: string };
    const response = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  };
  return {
    running,
    events,
    ready,
    call,
    summaries: (sync) =>
      events.flatMap((event) =>
        event.type === "run.event" &&
        event.sync === sync &&
        event.event.type === "run.finished"
          ? [event.event.summary]
          : [],
      ),
    trigger: async (sync, body = {}) => {
      const answer = await call("POST", `/syncs/${sync}/runs`, body);
      if (answer.status !== 202) throw new Error(JSON.stringify(answer.body));
      return (answer.body as { queueId: string }).queueId;
    },
  };
}
