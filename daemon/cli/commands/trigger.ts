import { setTimeout as sleep } from "node:timers/promises";
import { errorCodes, ExtractError } from "../../../proto/error.ts";
import type { WireError } from "../../../proto/error.ts";
import {
  DaemonClient,
  findDaemon,
  type DaemonOptions,
} from "../daemon-client.ts";
import type { OutputOptions } from "../options.ts";
import { describeError, printJson, printNote, printOut } from "../print.ts";
import { createPaint, hasColours } from "../terminal.ts";
import { printDuration, printQuantity } from "../values.ts";

const POLL_MS = 250;
const EXIT_CANCELLED = 130;

interface TriggerOptions extends OutputOptions, DaemonOptions {
  readonly stream?: readonly string[];
  readonly key?: string;
  readonly wait?: boolean;
}

export interface Receipt {
  readonly queueId: string;
  readonly result: "queued" | "coalesced" | "known";
}

interface QueueEntry {
  readonly state:
    | "queued"
    | "taken"
    | "paused"
    | "succeeded"
    | "failed"
    | "cancelled";
  readonly runId: string | null;
  readonly error: WireError | null;
}

export interface RunView {
  readonly runId: string;
  readonly sync: string | null;
  readonly mode: string;
  readonly state: string;
  readonly epoch: number;
  readonly startedAt: number;
  readonly finishedAt: number | null;
  readonly rows: number;
  readonly error: WireError | null;
}

/** `millrace trigger`. Gives the exit code: with `--wait` that of the run. */
export async function runTrigger(
  sync: string,
  options: TriggerOptions,
): Promise<number> {
  const client = new DaemonClient(findDaemon(options));
  const receipt = await client.ask<Receipt>(
    "POST",
    `/syncs/${encodeURIComponent(sync)}/runs`,
    {
      ...(options.stream === undefined ? {} : { streams: options.stream }),
      ...(options.key === undefined ? {} : { key: options.key }),
    },
  );
  if (options.wait === true) return waitFor(client, receipt, options);
  printReceipt(receipt, options);
  return 0;
}

export function printReceipt(receipt: Receipt, options: OutputOptions): void {
  if (options.json === true) {
    printJson(receipt);
    return;
  }
  const words = {
    queued: "is queued",
    coalesced: "waits already and takes it in",
    known: "is known already",
  }[receipt.result];
  printOut(`${receipt.queueId} ${words}`);
}

/** Asks until the entry is over: what became of it stands in the ledger, whatever news was missed. */
async function waitFor(
  client: DaemonClient,
  receipt: Receipt,
  options: OutputOptions,
): Promise<number> {
  const { queueId } = receipt;
  if (options.json !== true && options.quiet !== true)
    printNote(`${queueId} is ${receipt.result}; waiting for its end`);
  for (;;) {
    const entry = await client.ask<QueueEntry>("GET", `/queue/${queueId}`);
    if (["queued", "taken", "paused"].includes(entry.state)) {
      await sleep(POLL_MS);
      continue;
    }
    const run =
      entry.runId === null
        ? null
        : (await client.ask<{ run: RunView }>("GET", `/runs/${entry.runId}`))
            .run;
    return report(entry, run, { ...receipt, ...options });
  }
}

function report(
  entry: QueueEntry,
  run: RunView | null,
  { queueId, json }: Receipt & OutputOptions,
): number {
  const error = run?.error ?? entry.error;
  if (json === true) printJson({ queueId, state: entry.state, run, error });
  else if (run !== null) {
    const took = (run.finishedAt ?? run.startedAt) - run.startedAt;
    printOut(
      `${run.runId} ${run.state}: ${printQuantity(run.rows, "row")} in ${printDuration(took)}`,
    );
  } else printOut(`${queueId} is ${entry.state}`);
  if (error !== null && json !== true)
    printNote(describeError(error, createPaint(hasColours(process.stderr))));
  if (entry.state === "cancelled") return EXIT_CANCELLED;
  if (run?.state === "partlyFailed") return 4;
  if (entry.state === "succeeded") return 0;
  return error === null ? 1 : (errorCodes[error.code]?.exitCode ?? 1);
}

/** For commands that name a run or a sync. @throws ExtractError USAGE */
export function checkName(name: string): string {
  if (name !== "" && !name.includes("/")) return name;
  throw new ExtractError("USAGE", `'${name}' names neither a run nor a sync`);
}
