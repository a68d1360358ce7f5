import { expect, test } from "vitest";
import { PhaseClock } from "../../../connectors/channels/phase-clock.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";

/** A loop whose times are set by hand, and a sink whose writes end when they are told to. */
function createScene() {
  const loop = { idle: 1000, active: 500 };
  const writes: (() => void)[] = [];
  const clock = new PhaseClock(() => ({ ...loop }));
  const sink = clock.watch({
    batch: () => new Promise((resolve) => writes.push(resolve)),
    checkpoint: async () => {},
    valueNulled: () => {},
  });
  const pass = (idle: number, active: number): void => {
    loop.idle += idle;
    loop.active += active;
  };
  const batch = {} as ColumnBatch;
  return { clock, pass, write: () => sink.batch(batch), writes };
}

test("idle time is the source's, unless a batch waits for its socket", async () => {
  const { clock, pass, write, writes } = createScene();
  pass(9, 9);
  clock.begin();
  pass(100, 10);
  const written = write();
  pass(30, 5);
  writes[0]?.();
  await written;
  pass(200, 1);
  expect(clock.take()).toEqual({ waiting: 300, decoding: 16, socket: 30 });
  expect(clock.take()).toEqual({ waiting: 0, decoding: 0, socket: 0 });
});

test("batches that wait at once are one wait, and a look in its middle loses nothing", async () => {
  const { clock, pass, write, writes } = createScene();
  clock.begin();
  const first = write();
  pass(10, 0);
  const second = write();
  pass(10, 0);
  expect(clock.take()).toEqual({ waiting: 0, decoding: 0, socket: 20 });
  writes[0]?.();
  await first;
  pass(5, 0);
  writes[1]?.();
  await second;
  pass(7, 0);
  expect(clock.take()).toEqual({ waiting: 7, decoding: 0, socket: 5 });
});
