/** What Prometheus is told of the logs that runs follow: one series a sync, gone with its run. */
import { LOG_STEPS } from "../../proto/log-budget.ts";
import { commitOf } from "../../proto/log-position.ts";
import type { LogProgress, RunEvent } from "../request.ts";
import { Counter, Gauge, type Registry } from "./exposition.ts";

type Summed = "events" | "transactions" | "heartbeats";

const sums: Readonly<Record<Summed, string>> = {
  events: "Changes that were read from the source's log and are durable.",
  transactions:
    "Transactions that were read from the source's log and are durable.",
  heartbeats: "Signs of life of the change data engine.",
};

export class LogMetrics {
  /** By sync, of runs at work. */
  readonly #last = new Map<string, LogProgress>();
  readonly #nameSync: (sync: string) => string;
  readonly #starts: Counter<"sync">;
  readonly #sums: Readonly<Record<Summed, Counter<"sync">>>;

  /** @param nameSync gives the label of a sync, of which there is a bounded number */
  constructor(registry: Registry, nameSync: (sync: string) => string) {
    this.#nameSync = nameSync;
    const labelNames = ["sync"] as const;
    const count = (name: string, help: string) =>
      new Counter({ name, help, labelNames, registers: [registry] });
    this.#starts = count(
      "millrace_log_engine_starts_total",
      "Starts of the change data engine: one a run, and one more for each time that it had to begin again.",
    );
    const countAll = (what: Summed) =>
      count(`millrace_log_${what}_total`, sums[what]);
    this.#sums = {
      events: countAll("events"),
      transactions: countAll("transactions"),
      heartbeats: countAll("heartbeats"),
    };
    this.#addGauges(registry);
  }

  observe(sync: string, event: RunEvent): void {
    const labels = { sync: this.#nameSync(sync) };
    if (event.type === "log.event" && event.kind === "log.started")
      this.#starts.inc(labels);
    else if (event.type === "run.finished") this.#last.delete(sync);
    else if (event.type === "log.progress") {
      const before = this.#last.get(sync);
      this.#last.set(sync, event);
      // an attempt that begins counts from nothing
      const from = before?.epoch === event.epoch ? before.figures : null;
      for (const [what, counter] of Object.entries(this.#sums)) {
        const now = event.figures?.[what as Summed] ?? 0;
        counter.inc(labels, Math.max(0, now - (from?.[what as Summed] ?? 0)));
      }
    }
  }

  #addGauges(registry: Registry): void {
    const add = (
      name: string,
      help: string,
      read: (log: LogProgress) => number | null,
    ): void => {
      const gauge: Gauge<"sync"> = new Gauge({
        ...{ name, help, labelNames: ["sync"], registers: [registry] },
        collect: () => {
          gauge.reset();
          for (const [sync, log] of this.#last) {
            const value = read(log);
            if (value !== null)
              gauge.set({ sync: this.#nameSync(sync) }, value);
          }
        },
      });
    };
    add(
      "millrace_log_lag_seconds",
      "Age of the oldest change that may not be durable yet.",
      ({ figures }) =>
        figures === null || figures.asOfMs === 0
          ? null
          : Math.max(0, Date.now() - figures.asOfMs) / 1000,
    );
    add(
      "millrace_log_lag_bytes",
      "The source's log behind what is durable.",
      ({ measure }) => measure?.lagBytes ?? null,
    );
    add(
      "millrace_log_retained_bytes",
      "What the source keeps of its log for the sync.",
      ({ measure }) => measure?.retainedBytes ?? null,
    );
    add(
      "millrace_log_budget_bytes",
      "What the source may keep of its log for the sync.",
      ({ budgetBytes }) => budgetBytes,
    );
    add(
      "millrace_log_unread_age_seconds",
      "For so long the oldest part of the source's log that the sync still needs has been written no more.",
      ({ measure }) => measure?.age?.seconds ?? null,
    );
    add(
      "millrace_log_kept_seconds",
      "Age at which the source removes its log, whether it was read or not.",
      ({ measure }) => measure?.age?.limitSeconds ?? null,
    );
    add(
      "millrace_log_position",
      "Place in the source's log up to which all is durable: a number that grows (Postgres: the LSN).",
      ({ position }) => (position === null ? null : numberOf(position)),
    );
    const steps: Gauge<"sync" | "step"> = new Gauge({
      name: "millrace_log_step",
      help: "1 for what is done about the log that the source keeps.",
      labelNames: ["sync", "step"],
      registers: [registry],
      collect: () => {
        steps.reset();
        for (const [sync, log] of this.#last)
          for (const step of LOG_STEPS)
            steps.set(
              { sync: this.#nameSync(sync), step },
              step === log.step ? 1 : 0,
            );
      },
    });
  }
}

/** Of the transaction's place; a file's number and a place in it are one number, too. */
function numberOf(position: string): number {
  return Number(BigInt(`0x${commitOf(position)}`));
}
