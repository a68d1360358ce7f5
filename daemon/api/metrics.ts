/**
 * What Prometheus scrapes. Counters grow with what the runs tell; gauges are read when they are asked for. Labels are
 * bounded: beyond LABELS_MAX pairs of sync and stream all others are counted as `other`.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as breathe } from "node:timers/promises";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { RunEvent } from "../request.ts";
import type { ConnectionFigures } from "../inline/connections.ts";
import type { DaemonEvent, DaemonService, LiveRun } from "../service/types.ts";
import {
  TRIGGER_STATES,
  type TriggerHealth,
} from "../triggers/trigger-health.ts";
import type { EventRing } from "./event-ring.ts";
import type { History } from "./history.ts";
import { RateMeter } from "./rate-meter.ts";
import { measureProcesses } from "./process-memory.ts";

/** Pairs of sync and stream with series of their own. */
export const LABELS_MAX = 1000;
/** Runs and streams whose last totals are remembered; the oldest is forgotten. */
const TOTALS_MAX = 10_000;
/** Syncs that the ledger is asked about in one turn of the loop. */
const SYNCS_PER_TURN = 50;
const LOOP_RESOLUTION_MS = 10;
const NANOSECONDS = 1e9;
/** From a small file's seal to the default checkpoint interval. */
const PIPELINE_BUCKETS = [
  0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
];

type Progress = Extract<RunEvent, { type: "stream.progress" }>;
type Measured = NonNullable<Progress["measured"]>;

const perStream = ["sync", "stream"] as const;

export class Metrics {
  readonly #service: DaemonService;
  readonly #history: History;
  readonly #registry = new Registry();
  readonly #loop: ReturnType<typeof monitorEventLoopDelay>;
  readonly #pairs = new Set<string>();
  readonly #syncs = new Set<string>();
  readonly #totals = new Map<string, Measured>();
  readonly #succeededAt = new Map<string, number>();
  readonly #rates = new RateMeter();
  readonly #rows = this.#counter(
    "millrace_rows_total",
    "Rows, read from the source and made durable at the destination.",
    ["sync", "stream", "stage"],
  );
  readonly #bytes = this.#counter(
    "millrace_bytes_total",
    "Bytes of column buffers, read and made durable.",
    ["sync", "stream", "stage"],
  );
  readonly #partitions = this.#counter(
    "millrace_partitions_total",
    "Partitions that were read to their end.",
    perStream,
  );
  readonly #phases = this.#counter(
    "millrace_partition_phase_seconds_total",
    "Time of all partitions by phase: waiting (for the source), decoding, socket, encoding, uploading.",
    ["sync", "stream", "phase"],
  );
  readonly #finished = this.#counter(
    "millrace_runs_finished_total",
    "Runs that came to an end, by how.",
    ["sync", "state"],
  );
  readonly #pipeline: Histogram<"sync">;

  constructor(
    service: DaemonService,
    history: History,
    ring: EventRing,
    triggers: () => readonly TriggerHealth[] = () => [],
  ) {
    this.#service = service;
    this.#history = history;
    this.#loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
    this.#loop.enable();
    this.#pipeline = new Histogram({
      name: "millrace_pipeline_duration_seconds",
      help: "From a batch's arrival at the destination to its commit in the ledger.",
      labelNames: ["sync"],
      buckets: PIPELINE_BUCKETS,
      registers: [this.#registry],
    });
    this.#addGauges(ring);
    this.#addTriggers(triggers);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Prometheus's text format; `cover` is given it in parts. A scrape of thousands of syncs is made in many turns. */
  async render(cover: (text: string) => string): Promise<string> {
    const parts: string[] = [];
    for (const { name } of this.#registry.getMetricsAsArray()) {
      parts.push(cover(await this.#registry.getSingleMetricAsString(name)));
      await breathe();
    }
    return `${parts.join("\n\n")}\n`;
  }

  close(): void {
    this.#loop.disable();
  }

  observe(event: DaemonEvent): void {
    if (event.type !== "run.event") return;
    const { sync, queueId, event: told } = event;
    if (told.type === "stream.progress" && told.measured !== undefined)
      this.#count(sync, queueId, event.at, told, told.measured);
    if (told.type === "run.finished") {
      const { state } = told.summary;
      this.#finished.inc({ sync: this.#nameSync(sync), state });
      if (state === "succeeded") this.#succeededAt.set(sync, event.at);
      this.#rates.forget(queueId);
    }
  }

  #count(
    sync: string,
    queueId: string,
    at: number,
    { stream }: Progress,
    now: Measured,
  ): void {
    const name = nameStream(stream);
    const labels = this.#labelsOf(sync, name);
    const key = JSON.stringify([queueId, now.epoch, stream.number]);
    const before = this.#totals.get(key);
    this.#totals.delete(key);
    const oldest = this.#totals.keys().next().value;
    if (this.#totals.size >= TOTALS_MAX && oldest !== undefined)
      this.#totals.delete(oldest);
    this.#totals.set(key, now);
    const grown = (
      member:
        | "rowsRead"
        | "rowsDurable"
        | "bytesRead"
        | "bytesDurable"
        | "partitionsDone",
    ) => Math.max(0, now[member] - (before?.[member] ?? 0));
    this.#rows.inc({ ...labels, stage: "read" }, grown("rowsRead"));
    this.#rows.inc({ ...labels, stage: "durable" }, grown("rowsDurable"));
    this.#bytes.inc({ ...labels, stage: "read" }, grown("bytesRead"));
    this.#bytes.inc({ ...labels, stage: "durable" }, grown("bytesDurable"));
    this.#partitions.inc(labels, grown("partitionsDone"));
    for (const [phase, ms] of Object.entries(now.phasesMs)) {
      const earlier =
        before?.phasesMs[phase as keyof Measured["phasesMs"]] ?? 0;
      this.#phases.inc({ ...labels, phase }, Math.max(0, ms - earlier) / 1000);
    }
    const syncLabel = { sync: labels.sync };
    for (const { ageMs, batches } of now.committed)
      for (let i = 0; i < batches; i++)
        this.#pipeline.observe(syncLabel, Math.max(0, ageMs) / 1000);
    this.#rates.note(queueId, labels, at, now.rowsRead);
  }

  #labelsOf(sync: string, stream: string): { sync: string; stream: string } {
    const isKnown = admit(this.#pairs, JSON.stringify([sync, stream]));
    return { sync: this.#nameSync(sync), stream: isKnown ? stream : "other" };
  }

  /** The configuration bounds their number; reloads do not. */
  #nameSync(sync: string): string {
    return admit(this.#syncs, sync) ? sync : "other";
  }

  #counter<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
  ): Counter<Label> {
    return new Counter({
      name,
      help,
      labelNames: [...labelNames],
      registers: [this.#registry],
    });
  }

  /** `read` sets the values of one scrape; what it does not set is not there. */
  #gauge<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    read: (gauge: Gauge<Label>) => void | Promise<void>,
  ): void {
    const gauge: Gauge<Label> = new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers: [this.#registry],
      collect: async () => {
        gauge.reset();
        await read(gauge);
      },
    });
  }

  #addGauges(ring: EventRing): void {
    this.#gauge(
      "millrace_rows_per_second",
      "Rows read in the last seconds, of runs at work.",
      perStream,
      (gauge) => {
        for (const { labels, perSecond } of this.#rates.list(Date.now()))
          gauge.inc(labels, perSecond);
      },
    );
    this.#gauge(
      "millrace_lag_seconds",
      "Since the last run of a sync that succeeded; absent where none has.",
      ["sync"],
      (gauge) => this.#readLag(gauge),
    );
    this.#gauge(
      "millrace_queue_entries",
      "Runs that are asked for and not over, by state.",
      ["state"],
      (gauge) => {
        const counts = this.#history.countQueue(null);
        for (const state of ["queued", "taken", "paused"] as const)
          gauge.set({ state }, counts[state]);
      },
    );
    this.#gauge(
      "millrace_runs",
      "Runs at work in this daemon, by state.",
      ["state"],
      (gauge) => {
        for (const state of ["starting", "running", "pausing", "cancelling"])
          gauge.set({ state }, 0);
        for (const { state } of this.#service.liveRuns()) gauge.inc({ state });
      },
    );
    this.#gauge(
      "millrace_checkpoints_outstanding",
      "Checkpoints that were sent and are not durable yet.",
      perStream,
      (gauge) =>
        this.#readLive((labels, { checkpointsOutstanding }) =>
          gauge.inc(labels, checkpointsOutstanding),
        ),
    );
    this.#gauge(
      "millrace_queue_bytes",
      "Bytes that were read and are not durable yet.",
      perStream,
      (gauge) =>
        this.#readLive((labels, { bytesRead, bytesDurable }) =>
          gauge.inc(labels, Math.max(0, bytesRead - bytesDurable)),
        ),
    );
    this.#gauge(
      "millrace_process_resident_bytes",
      "Memory of the daemon and, summed over runs, of their processes.",
      ["process"],
      async (gauge) => {
        const live = this.#service.liveRuns();
        for (const [role, bytes] of await measureProcesses(live, this.#history))
          gauge.set({ process: role }, bytes);
      },
    );
    this.#gauge(
      "millrace_event_loop_delay_seconds",
      "How late the daemon's loop turns, since the last scrape.",
      ["quantile"],
      (gauge) => {
        for (const quantile of [50, 99, 100]) {
          const delay = this.#loop.percentile(quantile) / NANOSECONDS;
          gauge.set(
            { quantile: String(quantile / 100) },
            Math.max(0, delay - LOOP_RESOLUTION_MS / 1000),
          );
        }
        this.#loop.reset();
      },
    );
    this.#addInlineGauges();
    this.#gauge(
      "millrace_event_subscribers",
      "Open event streams.",
      [],
      (gauge) => gauge.set(ring.listeners),
    );
    this.#gauge(
      "millrace_started_timestamp_seconds",
      "When this daemon started, since the Unix epoch.",
      [],
      (gauge) => gauge.set(this.#service.startedAt / 1000),
    );
  }

  #addTriggers(triggers: () => readonly TriggerHealth[]): void {
    this.#gauge(
      "millrace_trigger_state",
      "1 for the state in which a queue's trigger is.",
      ["kind", "topic", "state"],
      (gauge) => {
        for (const { kind, topic, state } of triggers())
          for (const one of TRIGGER_STATES)
            gauge.set({ kind, topic, state: one }, one === state ? 1 : 0);
      },
    );
    this.#gauge(
      "millrace_trigger_messages",
      "Messages since the start, by what became of them.",
      ["kind", "topic", "result"],
      (gauge) => {
        for (const { kind, topic, messages } of triggers())
          for (const [result, count] of Object.entries(messages))
            gauge.set({ kind, topic, result }, count);
      },
    );
  }

  #addInlineGauges(): void {
    const add = (
      name: string,
      help: string,
      read: (figures: ConnectionFigures) => number,
    ): void => {
      this.#gauge(name, help, [], (gauge) => {
        const figures = this.#service.connectionFigures;
        if (figures) gauge.set(read(figures));
      });
    };
    add(
      "millrace_inline_runs",
      "Runs in the daemon's own threads that have their connections.",
      ({ runs }) => runs,
    );
    add(
      "millrace_inline_connections",
      "Connections to sources of these runs.",
      ({ connections }) => connections,
    );
    add(
      "millrace_inline_waiting",
      "Runs that have begun and wait for connections.",
      ({ waiting }) => waiting,
    );
    add(
      "millrace_inline_entered_total",
      "Runs that were given their connections.",
      ({ entered }) => entered,
    );
    add(
      "millrace_inline_wait_seconds_total",
      "Time that these runs have waited for them.",
      ({ waitedMs }) => waitedMs / 1000,
    );
    add(
      "millrace_inline_wait_seconds_max",
      "The longest of these waits.",
      ({ waitedMsMax }) => waitedMsMax / 1000,
    );
  }

  async #readLag(gauge: Gauge<"sync">): Promise<void> {
    const now = Date.now();
    let asked = 0;
    for (const { name, syncId } of this.#service.listSyncs()) {
      let at = this.#succeededAt.get(name);
      if (at === undefined) {
        asked += 1;
        if (asked % SYNCS_PER_TURN === 0) await breathe();
        const [run] = this.#history.listRuns({
          limit: 1,
          syncIds: [syncId],
          states: ["succeeded"],
        });
        at = run?.finishedAt ?? undefined;
        if (at === undefined) continue;
        this.#succeededAt.set(name, at);
      }
      // a clock that was set back gives no negative age
      gauge.set({ sync: this.#nameSync(name) }, Math.max(0, now - at) / 1000);
    }
  }

  #readLive(
    read: (labels: { sync: string; stream: string }, now: Measured) => void,
  ): void {
    const live = new Map<string, LiveRun>(
      this.#service.liveRuns().map((run) => [run.queueId, run]),
    );
    for (const [key, measured] of this.#totals) {
      const [queueId, epoch] = JSON.parse(key) as [string, number];
      const run = live.get(queueId);
      if (run === undefined || epoch !== measured.epoch) continue;
      read(this.#labelsOf(run.sync, measured.stream), measured);
    }
  }
}

/** Whether there is room for it, or it is in already. */
function admit(known: Set<string>, name: string): boolean {
  if (known.has(name)) return true;
  if (known.size >= LABELS_MAX) return false;
  known.add(name);
  return true;
}

function nameStream({
  namespace,
  name,
}: {
  readonly namespace: string;
  readonly name: string;
}): string {
  return namespace === "" ? name : `${namespace}.${name}`;
}
