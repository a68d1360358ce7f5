import { expect, test } from "vitest";
import { addProfile, createShares } from "./control-plane.ts";

const node = (
  id: number,
  functionName: string,
  url: string,
  children: number[] = [],
) => ({
  id,
  callFrame: { functionName, url },
  children,
});

test("a sample counts once for each place that its stack holds, and idle time not at all", () => {
  const shares = createShares();
  addProfile(shares, {
    nodes: [
      node(1, "(root)", "", [2, 3, 7]),
      node(2, "(idle)", ""),
      node(3, "onRead", "file:///x/actors/source/worker.ts", [4, 5]),
      node(4, "decode", "file:///x/connectors/sources/postgres/reader.ts"),
      node(5, "send", "file:///x/node_modules/xstate/dist/xstate.js", [6]),
      node(6, "assign", "file:///x/actors/source/reader.machine.ts"),
      node(7, "merge", "file:///x/dist/checkpoint/coordinator.js"),
    ],
    samples: [2, 4, 6, 7],
    timeDeltas: [1000, 600, 300, 100],
  });
  expect(shares).toEqual({
    busyUs: 1000,
    decidingUs: 400,
    placeUs: {
      xstate: 300,
      machines: 300,
      "other actors/": 900,
      checkpoint: 100,
    },
  });
});
