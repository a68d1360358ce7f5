/** Runs `millrace sync` from a source into a destination, to its end or to a kill in the middle. */
import { expect } from "vitest";
import type {
  RunEvent,
  RunSummary,
  StreamSummary,
} from "../../daemon/request.ts";
import { startCommand, type StartedCommand } from "../fixtures/run-sync.ts";
import type { OpenDestination, OpenSource } from "./drivers.ts";

/** The longest are 5,000 tables on a loaded machine. */
const RUN_MS_MAX = 1_500_000;

export interface Route {
  readonly source: OpenSource;
  readonly destination: OpenDestination;
}

export interface FinishedRun {
  readonly summary: RunSummary;
  readonly events: readonly RunEvent[];
  readonly streams: ReadonlyMap<string, StreamSummary>;
}

function start(
  { source, destination }: Route,
  options: readonly string[],
): StartedCommand {
  return startCommand(
    [
      ...["sync", source.url, destination.target, "--json"],
      ...destination.options,
      ...options,
    ],
    destination.env,
    RUN_MS_MAX,
  );
}

function parseEvents(stdout: string): RunEvent[] {
  return stdout
    .split("\n")
    .filter((line) => line.startsWith("{") && line.endsWith("}"))
    .map((line) => JSON.parse(line) as RunEvent);
}

/** A run that has to succeed. */
export async function sync(
  route: Route,
  ...options: readonly string[]
): Promise<FinishedRun> {
  const { exitCode, stdout, stderr } = await start(route, options).ended;
  const events = parseEvents(stdout);
  const last = events.at(-1);
  if (exitCode !== 0 || last?.type !== "run.finished") {
    const errors = events.flatMap((event) =>
      event.type === "run.finished"
        ? event.summary.streams.map(({ error }) => error?.message)
        : [],
    );
    expect.fail(`exit code ${exitCode}\n${stderr}\n${errors.join("\n")}`);
  }
  const { summary } = last;
  const streams = new Map(summary.streams.map((one) => [one.name, one]));
  return { summary, events, streams };
}

/**
 * Kills the bookkeeper as soon as rows are durable.
 * @returns how many it was told of; null when the run was over before
 */
export async function syncUntilKilled(
  route: Route,
  ...options: readonly string[]
): Promise<number | null> {
  const { child, ended } = start(route, options);
  let durable = 0;
  let text = "";
  child.stdout?.on("data", (chunk: string) => {
    text += chunk;
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const event of parseEvents(lines.join("\n"))) {
      if (event.type !== "stream.progress" || durable > 0) continue;
      if (event.rowsDurable === 0) continue;
      durable = event.rowsDurable;
      child.kill("SIGKILL");
    }
  });
  const { exitCode } = await ended;
  return exitCode === null && durable > 0 ? durable : null;
}
