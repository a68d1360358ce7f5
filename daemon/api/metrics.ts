/**
 * What Prometheus scrapes. Counters grow with what the runs tell; gauges are read when they are asked for. Labels are
 * bounded: beyond LABELS_MAX pairs of sync and stream all others are counted as `other`. Secrets are covered in labels
 * when these are first met, since numbers hold none.
 */
import { strict as assert } from "node:assert";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { RunEvent } from "../request.ts";
import type { ConnectionFigures } from "../inline/connections.ts";
import type { DaemonEvent, DaemonService, LiveRun } from "../service/types.ts";
import {
  TRIGGER_STATES,
  type TriggerHealth,
} from "../triggers/trigger-health.ts";
import { takeBreaths } from "./breaths.ts";
import type { EventRing } from "./event-ring.ts";
import {
  CONTENT_TYPE,
  Counter,
  Gauge,
  Histogram,
  Registry,
} from "./exposition.ts";
import type { History } from "./history.ts";
import { LogMetrics } from "./log-metrics.ts";
import { RateMeter } from "./rate-meter.ts";
import { measureProcesses } from "./process-memory.ts";
import { SuccessTimes } from "./success-times.ts";
import { nameTable } from "../../proto/table-name.ts";

/** Pairs of sync and stream with series of their own. */
export const LABELS_MAX = 1000;
/** Runs and streams whose last totals are remembered; the oldest is forgotten. */
const TOTALS_MAX = 10_000;
const LOOP_RESOLUTION_MS = 10;
const NANOSECONDS = 1e9;
/** From a small file's seal to the default checkpoint interval. */
const PIPELINE_BUCKETS = [
  0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
];

type Progress = Extract<RunEvent, { type: "stream.progress" }>;
type Measured = NonNullable<Progress["measured"]>;

/** What those are called together that have no series of their own. */
const OTHER = "other";

const perStream = ["sync", "stream"] as const;

interface StreamLabels {
  readonly sync: string;
  readonly stream: string;
}

/** What one stream of a run told last. */
interface Total {
  readonly queueId: string;
  readonly labels: StreamLabels;
  readonly measured: Measured;
}

/** What is the same for all gauges of one scrape. */
interface Scrape {
  readonly live: readonly LiveRun[];
  readonly pause: () => Promise<void>;
}

export interface MetricsOptions {
  readonly ring: EventRing;
  readonly triggers?: () => readonly TriggerHealth[];
  /** Covers the secrets of a text. */
  readonly cover?: (text: string) => string;
}

export class Metrics {
  readonly #service: DaemonService;
  readonly #history: History;
  readonly #registry = new Registry();
  readonly #loop: ReturnType<typeof monitorEventLoopDelay>;
  readonly #cover: (text: string) => string;
  readonly #pairs = new Map<string, string>();
  readonly #syncs = new Map<string, string>();
  readonly #totals = new Map<string, Total>();
  readonly #successes: SuccessTimes;
  /** All who ask meanwhile are given the same. */
  #rendering: Promise<string> | null = null;
  #scrape: Scrape | null = null;
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
  readonly #logs = new LogMetrics(this.#registry, (sync) =>
    this.#nameSync(sync),
  );

  constructor(
    service: DaemonService,
    history: History,
    { ring, triggers = () => [], cover = (text) => text }: MetricsOptions,
  ) {
    this.#service = service;
    this.#cover = cover;
    this.#successes = new SuccessTimes(history);
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
    return CONTENT_TYPE;
  }

  /** Prometheus's text format. */
  render(): Promise<string> {
    this.#rendering ??= this.#render().finally(() => {
      this.#rendering = null;
    });
    return this.#rendering;
  }

  async #render(): Promise<string> {
    const pause = takeBreaths();
    this.#scrape = { live: this.#service.liveRuns(), pause };
    return this.#registry.render(pause);
  }

  close(): void {
    this.#loop.disable();
  }

  observe(event: DaemonEvent): void {
    if (event.type !== "run.event") return;
    const { sync, queueId, event: told } = event;
    this.#logs.observe(sync, told);
    if (told.type === "stream.progress" && told.measured !== undefined)
      this.#count(sync, queueId, event.at, told, told.measured);
    if (told.type === "run.finished") {
      const { state } = told.summary;
      this.#finished.inc({ sync: this.#nameSync(sync), state });
      if (state === "succeeded") this.#successes.note(sync, event.at);
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
    const key = JSON.stringify([queueId, stream.number]);
    const known = this.#totals.get(key)?.measured;
    // the next attempt counts from nothing
    const before = known?.epoch === now.epoch ? known : undefined;
    this.#totals.delete(key);
    const oldest = this.#totals.keys().next().value;
    if (this.#totals.size >= TOTALS_MAX && oldest !== undefined)
      this.#totals.delete(oldest);
    this.#totals.set(key, { queueId, labels, measured: now });
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
      this.#pipeline.observe(syncLabel, Math.max(0, ageMs) / 1000, batches);
    this.#rates.note(queueId, labels, at, now.rowsRead);
  }

  #labelsOf(sync: string, stream: string): StreamLabels {
    const pair = JSON.stringify([sync, stream]);
    return {
      sync: this.#nameSync(sync),
      stream: this.#admit(this.#pairs, pair, stream),
    };
  }

  /** The configuration bounds their number; reloads do not. */
  #nameSync(sync: string): string {
    return this.#admit(this.#syncs, sync, sync);
  }

  /** What it is shown as: `other` where there is no room for it. */
  #admit(known: Map<string, string>, key: string, name: string): string {
    const shown = known.get(key);
    if (shown !== undefined) return shown;
    if (known.size >= LABELS_MAX) return OTHER;
    const covered = this.#cover(name);
    known.set(key, covered);
    return covered;
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

  get #current(): Scrape {
    assert(this.#scrape, "gauges are read by a scrape");
    return this.#scrape;
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
        for (const { state } of this.#current.live) gauge.inc({ state });
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
        const { live, pause } = this.#current;
        const measured = await measureProcesses(live, this.#history, pause);
        for (const [role, bytes] of measured)
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
      (gauge) => gauge.set({}, ring.listeners),
    );
    this.#gauge(
      "millrace_started_timestamp_seconds",
      "When this daemon started, since the Unix epoch.",
      [],
      (gauge) => gauge.set({}, this.#service.startedAt / 1000),
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
            gauge.set(
              { kind, topic: this.#cover(topic), state: one },
              one === state ? 1 : 0,
            );
      },
    );
    this.#gauge(
      "millrace_trigger_messages",
      "Messages since the start, by what became of them.",
      ["kind", "topic", "result"],
      (gauge) => {
        for (const { kind, topic, messages } of triggers())
          for (const [result, count] of Object.entries(messages))
            gauge.set({ kind, topic: this.#cover(topic), result }, count);
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
        if (figures) gauge.set({}, read(figures));
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
    const syncs = this.#service.listSyncs();
    const { pause } = this.#current;
    let worst = 0;
    for (const { name, at } of await this.#successes.list(syncs, pause)) {
      const sync = this.#nameSync(name);
      // a clock that was set back gives no negative age
      const seconds = Math.max(0, now - at) / 1000;
      worst = sync === OTHER ? Math.max(worst, seconds) : worst;
      gauge.set({ sync }, sync === OTHER ? worst : seconds);
    }
  }

  #readLive(read: (labels: StreamLabels, now: Measured) => void): void {
    const live = new Set(this.#current.live.map(({ queueId }) => queueId));
    for (const { queueId, labels, measured } of this.#totals.values())
      if (live.has(queueId)) read(labels, measured);
  }
}

function nameStream({
  namespace,
  name,
}: {
  readonly namespace: string;
  readonly name: string;
}): string {
  return nameTable({ namespace, name });
}
