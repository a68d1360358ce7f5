import { describe, expect, test } from "vitest";
import { ForeignStates } from "../../../../connectors/destinations/airbyte/foreign-states.ts";
import {
  describeToken,
  readToken,
} from "../../../../connectors/airbyte/state-token.ts";
import { readMessage } from "../../../../connectors/airbyte/messages.ts";

function token(index: number) {
  return { run: "r", epoch: 1, stream: 1, index };
}

function counted(recordCount: number, rejectedRecordCount = 0) {
  return { destinationStats: { recordCount, rejectedRecordCount } };
}

describe("over stdio, where a state covers all before it", () => {
  test("one that comes back makes those before it durable as well", () => {
    const states = new ForeignStates(true);
    for (const index of [1, 2, 3])
      expect(states.noteSent(1, { index, rows: 10 })).toEqual([]);
    expect(states.noteBack(token(2), counted(20))).toEqual([1, 2]);
    expect(states.missing).toEqual({ stream: 1, index: 3 });
    expect(states.noteBack(token(3), counted(10))).toEqual([3]);
    expect(states.missing).toBeNull();
  });

  test("one that is back before it is known to have left counts once it is", () => {
    const states = new ForeignStates(true);
    expect(states.noteBack(token(1), counted(5))).toEqual([]);
    expect(states.stray).toEqual({ stream: 1, index: 1 });
    expect(states.noteSent(1, { index: 1, rows: 5 })).toEqual([1]);
    expect(states.stray).toBeNull();
  });

  test.for([
    { name: "a second time", back: [2, 2] },
    { name: "behind a later one", back: [2, 1] },
  ])("one that comes back $name is an error", ({ back }) => {
    const states = new ForeignStates(true);
    for (const index of [1, 2]) states.noteSent(1, { index, rows: 1 });
    const [first = 0, second = 0] = back;
    states.noteBack(token(first), {});
    expect(() => states.noteBack(token(second), {})).toThrow(
      expect.objectContaining({ code: "CONNECTOR_MESSAGE_INVALID" }),
    );
  });
});

describe("over sockets, where each state speaks for itself", () => {
  test("they come back in any order, each for its own checkpoint", () => {
    const states = new ForeignStates(false);
    for (const index of [1, 2, 3]) states.noteSent(1, { index, rows: index });
    expect(states.noteBack(token(3), counted(3))).toEqual([3]);
    expect(states.noteBack(token(1), counted(1))).toEqual([1]);
    expect(states.missing).toEqual({ stream: 1, index: 2 });
  });
});

test.for([
  { name: "fewer records", state: counted(9) },
  { name: "more records", state: counted(11) },
  { name: "some that it rejected", state: counted(10, 1) },
])(
  "a destination that counts $name ends the run with both counts",
  ({ state }) => {
    const states = new ForeignStates(true);
    states.noteSent(1, { index: 1, rows: 10 });
    expect(() => states.noteBack(token(1), state)).toThrow(
      expect.objectContaining({
        code: "CONNECTOR_COUNT_MISMATCH",
        details: expect.objectContaining({ sent: 10 }) as unknown,
      }),
    );
  },
);

test("a state of ours is known again when it has been through another's JSON", () => {
  const text = describeToken(
    { namespace: "shop", name: "orders" },
    { run: "r-1", epoch: 2, stream: 3, index: 4 },
    { rows: 51_234, partitionId: "3-0-2-1" },
  );
  expect(text).toContain('"recordCount":51234.0');
  // counts come back with a decimal point, or without
  for (const sent of [text, text.replace('"epoch":2', '"epoch":2.0')]) {
    const message = readMessage(sent);
    if (message.type !== "STATE") throw new Error(message.type);
    expect(readToken(message.state)).toEqual({
      run: "r-1",
      epoch: 2,
      stream: 3,
      index: 4,
    });
    expect(message.state).toMatchObject({ partition_id: "3-0-2-1" });
  }
});
