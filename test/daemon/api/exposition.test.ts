import { expect, test } from "vitest";
import {
  Counter,
  Gauge,
  Histogram,
  Registry,
} from "../../../daemon/api/exposition.ts";

const noPause = async (): Promise<void> => {};

test("the text is what Prometheus reads: help, type, escaped labels, one line a series", async () => {
  const registry = new Registry();
  const registers = [registry];
  const counter = new Counter({
    ...{ name: "rows_total", help: "Rows,\nand a \\.", registers },
    labelNames: ["sync", "stream"],
  });
  counter.inc({ sync: 'a"b\\c\n', stream: "é" });
  counter.inc({ stream: "é", sync: 'a"b\\c\n' }, 1.5);
  counter.inc({ sync: "x", stream: "" }, 0);
  const gauge = new Gauge({
    ...{ name: "temperature", help: "Of nothing.", registers },
    labelNames: [],
  });
  expect(await registry.render(noPause)).toBe(
    [
      "# HELP rows_total Rows,\\nand a \\\\.",
      "# TYPE rows_total counter",
      'rows_total{sync="a\\"b\\\\c\\n",stream="é"} 2.5',
      'rows_total{sync="x",stream=""} 0',
      "",
      "# HELP temperature Of nothing.",
      "# TYPE temperature gauge",
      "temperature 0",
      "",
      "",
    ].join("\n"),
  );
  for (const [value, text] of [
    [Infinity, "+Inf"],
    [-Infinity, "-Inf"],
    [Number.NaN, "NaN"],
    [1e21, "1e+21"],
  ] as const) {
    gauge.set({}, value);
    expect(await registry.render(noPause)).toContain(`temperature ${text}\n`);
  }
  expect(() => counter.inc({ sync: "x", stream: "" }, -1)).toThrow(/shrinks/);
});

test("a histogram's buckets add up, and its bounds belong to the bucket below", async () => {
  const registry = new Registry();
  const histogram = new Histogram({
    ...{ name: "age", help: "Of batches.", labelNames: ["sync"] },
    ...{ registers: [registry], buckets: [0.1, 1] },
  });
  histogram.observe({ sync: "a" }, 0.1);
  histogram.observe({ sync: "a" }, 0.5, 3);
  histogram.observe({ sync: "a" }, 7);
  expect((await registry.render(noPause)).split("\n").slice(2, -2)).toEqual([
    'age_bucket{le="0.1",sync="a"} 1',
    'age_bucket{le="1",sync="a"} 4',
    'age_bucket{le="+Inf",sync="a"} 5',
    'age_sum{sync="a"} 8.6',
    'age_count{sync="a"} 5',
  ]);
});

test("a gauge shows what was set since it was read last, whatever it has shown before", async () => {
  const registry = new Registry();
  let shown: readonly string[] = [];
  const gauge: Gauge<"sync"> = new Gauge({
    ...{ name: "lag", help: "Lag.", labelNames: ["sync"] as const },
    registers: [registry],
    collect: () => {
      gauge.reset();
      for (const sync of shown) gauge.inc({ sync }, 2);
    },
  });
  const read = async () =>
    (await registry.render(noPause))
      .split("\n")
      .filter((line) => line.startsWith("lag"));
  for (const now of [["a", "b"], ["b"], [], ["c", "b"]]) {
    shown = now;
    expect((await read()).toSorted()).toEqual(
      now.toSorted().map((sync) => `lag{sync="${sync}"} 2`),
    );
  }
});

test("whoever writes may stop in the middle of a metric, and counts that come meanwhile are not lost", async () => {
  const registry = new Registry();
  const counter = new Counter({
    ...{ name: "rows_total", help: "Rows.", labelNames: ["stream"] },
    registers: [registry],
  });
  const streams = Array.from({ length: 2_000 }, (_, i) => `t${i}`);
  for (const stream of streams) counter.inc({ stream });
  let pauses = 0;
  await registry.render(async () => {
    pauses += 1;
    for (const stream of streams) counter.inc({ stream });
  });
  expect(pauses).toBeGreaterThanOrEqual(10);
  const text = await registry.render(noPause);
  const lines = text.split("\n").filter((line) => line.startsWith("rows"));
  expect(lines).toEqual(
    streams.map((stream) => `rows_total{stream="${stream}"} ${pauses + 1}`),
  );
});
