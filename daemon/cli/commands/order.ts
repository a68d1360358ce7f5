import { ExtractError } from "../../../proto/error.ts";
import {
  DaemonClient,
  findDaemon,
  type DaemonOptions,
} from "../daemon-client.ts";
import type { OutputOptions } from "../options.ts";
import { printJson, printOut } from "../print.ts";
import { checkName, printReceipt, type Receipt } from "./trigger.ts";

export type Order = "pause" | "resume" | "cancel" | "retry" | "replay";

export interface OrderOptions extends OutputOptions, DaemonOptions {}

interface Sync {
  readonly name: string;
  readonly running: readonly string[];
  readonly lastRun: { readonly runId: string } | null;
}

/** Ids of runs and of queue entries; anything else is the name of a sync. */
export function isRunId(text: string): boolean {
  return /^(r-\d[-\da-f]*|q-\d+)$/.test(text);
}

const words: Readonly<Record<Order, string>> = {
  pause: "is being paused: it stops at its next checkpoint",
  resume: "goes on",
  cancel: "is being cancelled",
  retry: "is queued again",
  replay: "is queued once more",
};

/** `millrace pause`, `resume`, `cancel`, `retry`, `replay` of a daemon's run or sync. Gives the exit code. */
export async function runOrder(
  order: Order,
  target: string,
  options: OrderOptions,
): Promise<number> {
  const client = new DaemonClient(findDaemon(options));
  if (isRunId(target)) return orderRuns(client, order, [target], options);
  const name = encodeURIComponent(checkName(target));
  if (order === "pause" || order === "resume") {
    await client.ask("POST", `/syncs/${name}/${order}`);
    if (options.json === true) printJson({ sync: target, order });
    else
      printOut(
        `${target} ${order === "pause" ? "is paused: no more runs of it begin" : "is no longer paused"}`,
      );
    return 0;
  }
  const runs = await findRuns(client, order, name);
  if (runs.length === 0)
    throw new ExtractError(
      "RUN_NOT_FOUND",
      `${target} has no run ${order === "cancel" ? "at work" : "yet"}`,
      { sync: target, help: "`millrace runs --daemon` lists them." },
    );
  return orderRuns(client, order, runs, options);
}

/** Of a sync, by its name as it stands in a path: the runs at work, or the newest that is over. */
async function findRuns(
  client: DaemonClient,
  order: Order,
  name: string,
): Promise<readonly string[]> {
  const sync = await client.ask<Sync>("GET", `/syncs/${name}`);
  if (order === "cancel") return sync.running;
  if (order === "replay")
    return sync.lastRun === null ? [] : [sync.lastRun.runId];
  // an entry may have failed before it became a run
  const { queue } = await client.ask<{ queue: readonly { queueId: string }[] }>(
    "GET",
    `/queue?sync=${name}&limit=1`,
  );
  return queue.map(({ queueId }) => queueId);
}

async function orderRuns(
  client: DaemonClient,
  order: Order,
  runs: readonly string[],
  options: OutputOptions,
): Promise<number> {
  for (const run of runs) {
    const answer = await client.ask<Partial<Receipt>>(
      "POST",
      `/runs/${run}/${order}`,
    );
    if (order === "replay") printReceipt(answer as Receipt, options);
    else if (options.json === true) printJson({ run, order });
    else printOut(`${run} ${words[order]}`);
  }
  return 0;
}

/** Whether a daemon that listens knows the run. Silence is no answer, and no fault. */
export async function isKnownRun(
  id: string,
  options: DaemonOptions,
): Promise<boolean> {
  const place = findDaemon(options);
  if (place.token === null) return false;
  try {
    await new DaemonClient(place).ask(
      "GET",
      id.startsWith("q-") ? `/queue/${id}` : `/runs/${id}`,
    );
    return true;
  } catch (error) {
    if (error instanceof ExtractError) return false;
    throw error;
  }
}
