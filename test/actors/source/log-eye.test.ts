import { expect, test, vi } from "vitest";
import { LogEye } from "../../../actors/source/log-eye.ts";
import type { WatchedPlace } from "../../../connectors/sources/source.ts";

const figures = { asOfMs: 0, events: 0, transactions: 0, heartbeats: 0 };

function open(checkpointEveryMs = 1_000) {
  const places: WatchedPlace[] = [];
  const eye = new LogEye(
    {
      measure: async (place) => {
        places.push(place);
        return { retainedBytes: null, lagBytes: null, limitBytes: null };
      },
      drop: async () => {},
      close: async () => {},
    },
    {
      identity: "server",
      from: { position: "p0", offset: "o0", history: [] },
    },
    { checkpointEveryMs },
  );
  const tell = (group: number, offset: string | null) =>
    eye.noteTold({
      ...{ type: "log.checkpoint", group, position: `p${group}`, offset },
      ...{ history: null, members: [], figures },
    });
  const look = async () => {
    await eye.measure();
    return places.at(-1);
  };
  return { eye, tell, look };
}

test("a run stands where the ledger has it, and what was told is further on", async () => {
  const { eye, tell, look } = open();
  expect(await look()).toEqual({
    ...{ identity: "server", position: "p0", told: "o0", isSilent: false },
  });
  tell(1, "o1");
  tell(2, null);
  tell(3, "o3");
  expect(await look()).toMatchObject({ position: "p0", told: "o3" });
  eye.noteCommitted(2);
  expect(await look()).toMatchObject({ position: "p2", told: "o3" });
  eye.noteCommitted(2);
  eye.noteCommitted(3);
  expect(await look()).toMatchObject({ position: "p3" });
});

test("an engine is silent once it has told of no place for longer than checkpoints take", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  try {
    const { tell, look } = open(60_000);
    vi.advanceTimersByTime(119_000);
    expect(await look()).toMatchObject({ isSilent: false });
    vi.advanceTimersByTime(2_000);
    expect(await look()).toMatchObject({ isSilent: true });
    tell(1, null);
    expect(await look()).toMatchObject({ isSilent: true });
    tell(2, "o2");
    expect(await look()).toMatchObject({ isSilent: false });
  } finally {
    vi.useRealTimers();
  }
});
