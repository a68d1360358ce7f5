import { describe, expect, test } from "vitest";
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import { LogGroups } from "../../daemon/log-groups.ts";

type Advance = Parameters<Ledger["advanceLog"]>[2];

const figures = { asOfMs: 0, events: 0, transactions: 0, heartbeats: 0 };

function openGroups() {
  const advanced: Advance[] = [];
  const ledger = {
    advanceLog: (_run: string, _epoch: number, to: Advance) => {
      advanced.push(to);
    },
  } as unknown as Ledger;
  const groups = new LogGroups({ ledger, runId: "r1", epoch: 1 });
  let count = 0;
  const add = (members: readonly (readonly [number, number])[], more = {}) =>
    groups.add({
      type: "log.checkpoint",
      group: ++count,
      position: `p${count}`,
      offset: null,
      history: null,
      members: members.map(([stream, index]) => ({ stream, index })),
      figures,
      ...more,
    });
  return { groups, advanced, add };
}

describe("checkpoints of the log over all streams", () => {
  test("count once all their members are recorded, in order", () => {
    const { groups, advanced, add } = openGroups();
    add([
      [1, 1],
      [2, 1],
    ]);
    add([[2, 2]], { offset: "o2", history: ["h"] });
    groups.noteRecorded(2, 2);
    expect(groups.record()).toBeNull();
    expect(advanced).toEqual([]);
    groups.noteRecorded(1, 1);
    // whoever shows them is told of all streams
    expect(groups.record()).toMatchObject({
      group: 2,
      members: [
        { stream: 1, index: 1 },
        { stream: 2, index: 2 },
      ],
    });
    expect(advanced).toEqual([
      { position: "p2", offset: "o2", history: ["h"] },
    ]);
  });

  test("count at once where no stream had rows", () => {
    const { groups, advanced, add } = openGroups();
    add([], { offset: "o1" });
    expect(groups.record()?.position).toBe("p1");
    expect(advanced).toHaveLength(1);
    expect(groups.record()).toBeNull();
  });

  test("count no more once a stream has failed: its changes have to come again", () => {
    const { groups, advanced, add } = openGroups();
    add([[1, 1]]);
    groups.noteRecorded(1, 1);
    groups.noteFailed(2, true);
    expect(groups.record()).toBeNull();
    expect(advanced).toEqual([]);
  });

  test("go on without a stream that was still being copied: it is copied anew", () => {
    const { groups, advanced, add } = openGroups();
    add([
      [1, 1],
      [2, 1],
    ]);
    groups.noteRecorded(1, 1);
    expect(groups.record()).toBeNull();
    groups.noteFailed(2, false);
    expect(groups.record()?.members).toEqual([{ stream: 1, index: 1 }]);
    expect(advanced).toHaveLength(1);
  });

  test("count no more once the log is given up, though the source still tells of it", () => {
    const { groups, advanced, add } = openGroups();
    groups.noteGivenUp();
    add([], { offset: "o1" });
    expect(groups.record()).toBeNull();
    expect(advanced).toEqual([]);
  });

  test("come one by one", () => {
    const { groups, add } = openGroups();
    add([]);
    expect(() =>
      groups.add({
        type: "log.checkpoint",
        group: 3,
        position: "p3",
        offset: null,
        history: null,
        members: [],
        figures,
      }),
    ).toThrow("one by one");
  });
});
