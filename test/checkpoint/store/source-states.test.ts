import { expect, test } from "vitest";
import {
  findCovered,
  type SourceStateRecord,
} from "../../../checkpoint/store/source-states.ts";

function stream(
  epoch: number,
  group: number,
  number: number,
  index: number,
  body: string | null = `s${number}@${epoch}.${group}`,
): SourceStateRecord {
  return {
    epoch,
    group,
    scope: body === null ? null : "STREAM",
    stream: number,
    body,
    members: [{ stream: number, index }],
  };
}

function all(
  epoch: number,
  group: number,
  members: readonly [number, number][],
): SourceStateRecord {
  return {
    epoch,
    group,
    scope: "GLOBAL",
    stream: null,
    body: `all@${epoch}.${group}`,
    members: members.map(([one, index]) => ({ stream: one, index })),
  };
}

const at = (epoch: number, stream: number, index: number) => ({
  epoch,
  stream,
  index,
});

test("a state counts once what it covers is durable, and so is what its stream's earlier states cover", () => {
  const states = [
    stream(1, 1, 1, 1),
    stream(1, 2, 2, 1),
    stream(1, 3, 1, 2),
    stream(1, 4, 1, 3),
  ];
  const { ofStreams, covers } = findCovered(states, [
    at(1, 1, 1),
    at(1, 2, 1),
    // not the second of stream 1
    at(1, 1, 3),
  ]);
  expect(Object.fromEntries(ofStreams)).toEqual({ 1: "s1@1.1", 2: "s2@1.2" });
  expect(covers(at(1, 1, 1))).toBe(true);
  expect(covers(at(1, 1, 3))).toBe(false);
});

test("a later attempt goes on behind what counted before it", () => {
  const states = [stream(1, 1, 1, 1), stream(1, 2, 1, 2), stream(2, 1, 1, 1)];
  const { ofStreams, covers } = findCovered(states, [at(1, 1, 1), at(2, 1, 1)]);
  expect(ofStreams.get(1)).toBe("s1@2.1");
  expect(covers(at(1, 1, 2))).toBe(false);
});

test("a state of all streams needs all of its members", () => {
  const states = [
    all(1, 1, [
      [1, 1],
      [2, 1],
    ]),
    all(1, 2, [
      [1, 2],
      [2, 2],
    ]),
    all(1, 3, []),
  ];
  const { ofAll, covers } = findCovered(states, [
    at(1, 1, 1),
    at(1, 2, 1),
    at(1, 1, 2),
  ]);
  expect(ofAll).toBe("all@1.1");
  expect(covers(at(1, 1, 2))).toBe(false);
});

test("what ends a stream without a state covers it, and leaves the state that it had", () => {
  const states = [stream(1, 1, 1, 1), stream(1, 2, 1, 2, null)];
  const { ofStreams, covers } = findCovered(states, [at(1, 1, 1), at(1, 1, 2)]);
  expect(ofStreams.get(1)).toBe("s1@1.1");
  expect(covers(at(1, 1, 2))).toBe(true);
});
