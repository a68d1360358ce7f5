import { expect } from "vitest";
import { LABELS_MAX } from "../../../daemon/api/metrics.ts";
import { RateMeter } from "../../../daemon/api/rate-meter.ts";
import type { StreamMeasures } from "../../../daemon/request.ts";
import { ask, SYNC, test } from "./support.ts";

const zero: StreamMeasures = {
  epoch: 1,
  stream: "public.orders",
  rowsRead: 0,
  rowsDurable: 0,
  bytesRead: 0,
  bytesDurable: 0,
  partitionsDone: 0,
  checkpointsOutstanding: 0,
  phasesMs: { waiting: 0, decoding: 0, socket: 0, encoding: 0, uploading: 0 },
  committed: [],
};

function tellProgress(
  service: { tell(event: never): void },
  sync: string,
  measured: StreamMeasures,
  number = 1,
): void {
  const [namespace = "", name = ""] = measured.stream.split(".");
  service.tell({
    type: "run.event",
    queueId: "q-1",
    runId: "r-1",
    sync,
    event: {
      type: "stream.progress",
      stream: { number, namespace, name },
      rowsRead: 0,
      bytesRead: 0,
      rowsDurable: 0,
      partitionsDone: 0,
      partitions: 1,
      measured,
    },
  } as never);
}

async function scrape(url: string): Promise<string[]> {
  const { text, headers } = await ask(url, "GET", "/metrics");
  expect(headers["content-type"]).toContain("text/plain");
  return text.split("\n");
}

test("counters grow by what each attempt adds, and never shrink", async ({
  scene: { service, start },
}) => {
  const { url } = await start();
  const tell = (measured: Partial<StreamMeasures>) =>
    tellProgress(service, SYNC, { ...zero, ...measured });
  tell({
    rowsRead: 100,
    rowsDurable: 40,
    bytesRead: 1000,
    bytesDurable: 400,
    partitionsDone: 1,
  });
  tell({
    rowsRead: 150,
    rowsDurable: 150,
    bytesRead: 1500,
    bytesDurable: 1500,
    partitionsDone: 2,
    phasesMs: {
      waiting: 500,
      decoding: 250,
      socket: 0,
      encoding: 1000,
      uploading: 2000,
    },
    committed: [
      { ageMs: 40, batches: 3 },
      { ageMs: 4000, batches: 1 },
      { ageMs: -5, batches: 1 },
    ],
  });
  // the next attempt counts from nothing
  tell({ epoch: 2, rowsRead: 10, rowsDurable: 5 });
  const labels = `sync="${SYNC}",stream="public.orders"`;
  const lines = await scrape(url);
  for (const line of [
    `millrace_rows_total{${labels},stage="read"} 160`,
    `millrace_rows_total{${labels},stage="durable"} 155`,
    `millrace_bytes_total{${labels},stage="read"} 1500`,
    `millrace_bytes_total{${labels},stage="durable"} 1500`,
    `millrace_partitions_total{${labels}} 2`,
    `millrace_partition_phase_seconds_total{${labels},phase="waiting"} 0.5`,
    `millrace_partition_phase_seconds_total{${labels},phase="uploading"} 2`,
    `millrace_pipeline_duration_seconds_count{sync="${SYNC}"} 5`,
    `millrace_pipeline_duration_seconds_bucket{le="0.05",sync="${SYNC}"} 4`,
    `millrace_pipeline_duration_seconds_sum{sync="${SYNC}"} 4.12`,
  ])
    expect(lines).toContain(line);
});

test("gauges say how it stands: queue, runs, lag, checkpoints, bytes on their way", async ({
  scene: { service, start },
}) => {
  const { url } = await start();
  service.live.push({
    runId: "r-1",
    queueId: "q-1",
    sync: SYNC,
    state: "running",
    startedAt: 0,
    streams: [],
  });
  tellProgress(service, SYNC, {
    ...zero,
    bytesRead: 900,
    bytesDurable: 300,
    checkpointsOutstanding: 2,
  });
  const labels = `sync="${SYNC}",stream="public.orders"`;
  const lines = await scrape(url);
  for (const line of [
    'millrace_runs{state="running"} 1',
    'millrace_runs{state="pausing"} 0',
    `millrace_queue_bytes{${labels}} 600`,
    `millrace_checkpoints_outstanding{${labels}} 2`,
  ])
    expect(lines).toContain(line);
  for (const start of [
    `millrace_lag_seconds{sync="${SYNC}"} `,
    'millrace_queue_entries{state="queued"} ',
    'millrace_process_resident_bytes{process="daemon"} ',
    'millrace_event_loop_delay_seconds{quantile="0.99"} ',
    `millrace_rows_per_second{${labels}} `,
  ])
    expect(lines.filter((line) => line.startsWith(start))).toHaveLength(1);
  // what an earlier attempt had on its way is on its way no more
  const second = { ...zero, epoch: 2, checkpointsOutstanding: 1 };
  tellProgress(service, SYNC, { ...second, bytesRead: 50 });
  const again = await scrape(url);
  for (const line of [
    `millrace_queue_bytes{${labels}} 50`,
    `millrace_checkpoints_outstanding{${labels}} 1`,
  ])
    expect(again).toContain(line);
  service.live.pop();
  const after = await scrape(url);
  expect(
    after.filter((line) => line.startsWith("millrace_queue_bytes{")),
  ).toEqual([]);
});

test("ten thousand streams make a bounded number of series", async ({
  scene: { service, start },
}) => {
  const { url } = await start();
  for (let i = 0; i < 10 * LABELS_MAX; i++)
    tellProgress(
      service,
      SYNC,
      { ...zero, stream: `public.t${i}`, rowsRead: 1 },
      i,
    );
  const lines = await scrape(url);
  const series = lines.filter((line) =>
    /^millrace_rows_total\{.*"read"/.test(line),
  );
  expect(series).toHaveLength(LABELS_MAX + 1);
  expect(series).toContain(
    `millrace_rows_total{sync="${SYNC}",stream="other",stage="read"} ${9 * LABELS_MAX}`,
  );
});

test("the rate is that of the last seconds, and nothing once a stream falls silent", () => {
  const meter = new RateMeter();
  const labels = { sync: "s", stream: "t" };
  for (let at = 0; at <= 20_000; at += 500)
    meter.note(
      "q-1",
      labels,
      at,
      at < 10_000 ? at : 10_000 + (at - 10_000) * 3,
    );
  expect(meter.list(20_000)).toEqual([{ labels, perSecond: 3000 }]);
  expect(meter.list(40_000)).toEqual([{ labels, perSecond: 0 }]);
  meter.note("q-1", labels, 41_000, 5);
  meter.note("q-1", labels, 42_000, 1005);
  expect(meter.list(42_000)).toEqual([{ labels, perSecond: 1000 }]);
  meter.forget("q-1");
  expect(meter.list(42_000)).toEqual([]);
});

test("a log that is followed has its series while its run is at work, and its sums stay", async ({
  scene: { service, start },
}) => {
  const { url } = await start();
  const tell = (event: object) =>
    service.tell({
      ...{ type: "run.event", queueId: "q-1", runId: "r-1", sync: SYNC },
      event,
    } as never);
  const progress = (epoch: number, events: number) =>
    tell({
      type: "log.progress",
      ...{ epoch, step: "hurry", budgetBytes: 100 },
      position: "00000001-000000000000000000ff-9999999999",
      figures: {
        ...{ events, transactions: 2, heartbeats: 3 },
        asOfMs: Date.now() - 5_000,
      },
      measure: {
        ...{ retainedBytes: 80, lagBytes: 20, limitBytes: null },
        age: { seconds: 30, limitSeconds: 60 },
      },
    });
  tell({ type: "log.event", kind: "log.started", message: "" });
  progress(1, 10);
  progress(1, 15);
  // another attempt counts from nothing
  tell({ type: "log.event", kind: "log.started", message: "" });
  progress(2, 4);
  const lines = await scrape(url);
  const label = `{sync="${SYNC}"}`;
  expect(lines).toEqual(
    expect.arrayContaining([
      `millrace_log_events_total${label} 19`,
      `millrace_log_engine_starts_total${label} 2`,
      `millrace_log_retained_bytes${label} 80`,
      `millrace_log_lag_bytes${label} 20`,
      `millrace_log_budget_bytes${label} 100`,
      `millrace_log_unread_age_seconds${label} 30`,
      `millrace_log_kept_seconds${label} 60`,
      `millrace_log_position${label} 255`,
      `millrace_log_step{sync="${SYNC}",step="hurry"} 1`,
      `millrace_log_step{sync="${SYNC}",step="calm"} 0`,
    ]),
  );
  const lag = lines.find((line) => line.startsWith("millrace_log_lag_seconds"));
  expect(Number(lag?.split(" ")[1])).toBeGreaterThanOrEqual(5);
  tell({ type: "run.finished", summary: { state: "succeeded" } });
  const after = await scrape(url);
  expect(after).toContain(`millrace_log_events_total${label} 19`);
  expect(after.join("\n")).not.toContain("millrace_log_retained_bytes{");
});
