import { describe, expect, test } from "vitest";
import { describeCharts } from "../../../../daemon/inspector/charts.ts";
import {
  countTaken,
  type Chart,
} from "../../../../daemon/inspector/model/chart.ts";
import { transitionKey } from "../../../../daemon/inspector/model/actor-tree.ts";
import { RunModel } from "../../../../daemon/inspector/model/run-model.ts";
import { statePath } from "../../../../daemon/inspector/model/names.ts";
import { readTrace } from "../traces.ts";

const charts = describeCharts();

test("every machine that a run reports has its chart, and what has none is a promise", () => {
  const model = new RunModel();
  for (const record of readTrace()) model.apply(record);
  const without = new Set<string>();
  for (const { chart, state } of model.tree.actors.values())
    if (!charts[chart]) {
      without.add(chart);
      expect(["done", "error", "stopped", ""]).toContain(state);
    }
  expect(without).not.toContain("reader");
  expect(Object.keys(charts)).toContain("source.channel");
  expect(Object.keys(charts)).toContain("destination.channel");
});

test("every state that was ever entered is in its chart, and every way there is found", () => {
  const model = new RunModel();
  for (const record of readTrace()) model.apply(record);
  for (const { chart: key, took, name } of model.tree.actors.values()) {
    const chart = charts[key];
    if (!chart) continue;
    for (const [transition, times] of Object.entries(took)) {
      const [from, , to = ""] = transition.split("\n");
      for (const path of to.split(" + "))
        expect(
          chart.states.map((state) => state.path),
          name,
        ).toContain(path);
      if (from === "") continue;
      const taken = countTaken(chart, { [transition]: times });
      expect([...taken.values()], `${name}: ${transition}`).toContain(times);
    }
  }
});

test("all edges lead to states that there are", () => {
  for (const chart of Object.values(charts)) {
    const paths = new Set(["", ...chart.states.map(({ path }) => path)]);
    for (const { from, to } of chart.edges) {
      expect(paths).toContain(from);
      if (to !== null) expect(paths).toContain(to);
    }
    expect(
      chart.states.filter(
        ({ parent, isInitial }) => parent === null && isInitial,
      ),
    ).toHaveLength(1);
  }
});

describe("what one step has passed", () => {
  const edge = (id: string, from: string, to: string, event: string) => ({
    id,
    from,
    to,
    event,
    kind: "event" as const,
    label: event,
    guard: null,
    actions: [],
  });
  const chart: Chart = {
    id: "example",
    states: [],
    edges: [
      edge("go", "idle", "deciding", "go"),
      edge("wait", "deciding", "waiting", ""),
      edge("stop", "", "stopped", "stop"),
      edge("own", "busy", "stopped", "stop"),
      edge("in", "idle", "busy", "start"),
    ],
  };
  test.for([
    { name: "a plain edge", took: ["idle", "start", "busy"], ids: ["in"] },
    {
      name: "a substate of the edge's target",
      took: ["idle", "start", "busy.reading"],
      ids: ["in"],
    },
    {
      name: "a state that was left at once",
      took: ["idle", "go", "waiting"],
      ids: ["go", "wait"],
    },
    {
      name: "an edge of any state",
      took: ["idle", "stop", "stopped"],
      ids: ["stop"],
    },
    {
      name: "the inner state's own edge before that of all",
      took: ["busy.reading", "stop", "stopped"],
      ids: ["own"],
    },
    { name: "no way at all", took: ["idle", "nothing", "elsewhere"], ids: [] },
  ])("$name", ({ took: [from = "", event = "", to = ""], ids }) => {
    const taken = countTaken(chart, { [transitionKey(from, event, to)]: 3 });
    expect([...taken.keys()]).toEqual(ids);
  });
});

test.for([
  ["reading", "reading"],
  ['{"moving":"reading"}', "moving.reading"],
  ['{"serving":{"a":"x","b":{"c":"y"}}}', "serving.a.x + serving.b.c.y"],
  ["{no json", "{no json"],
])("the state %s is %s", ([text, path]) =>
  expect(statePath(text ?? "")).toBe(path),
);
