import { createActor, fromPromise, setup, SimulatedClock } from "xstate";
import { describe, expect, test } from "vitest";
import { giveEffects } from "../../../actors/effects.ts";
import {
  logGuardMachine,
  type LogGuardNews,
  type Measured,
} from "../../../actors/source/log-guard.machine.ts";
import { ExtractError } from "../../../proto/error.ts";
import { settle } from "../recorder.ts";

const EVERY_MS = 1_000;

type Answer = number | ExtractError;

function startGuard(answers: readonly Answer[], drop: () => Promise<void>) {
  const heard: LogGuardNews[] = [];
  const clock = new SimulatedClock();
  let asked = 0;
  const logGuard = giveEffects(logGuardMachine, {
    actors: {
      measureLog: fromPromise<Measured>(async () => {
        const answer = answers[Math.min(asked, answers.length - 1)] ?? 0;
        const atMs = asked * EVERY_MS;
        asked += 1;
        if (typeof answer !== "number") throw answer;
        return {
          ...{ retainedBytes: answer, lagBytes: 1, limitBytes: null },
          atMs,
        };
      }),
      dropLog: fromPromise(drop),
    },
  });
  const host = setup({
    types: { events: {} as LogGuardNews },
    actors: { logGuard },
  }).createMachine({
    invoke: {
      id: "logGuard",
      src: "logGuard",
      input: {
        everyMs: EVERY_MS,
        budget: {
          bytes: 100,
          shareOf: { warn: 0.5, hurry: 0.7, pause: 0.85, giveUp: 1 },
          patienceMs: EVERY_MS,
        },
      },
    },
    on: {
      "*": {
        actions: ({ event }) => {
          if (event.type.startsWith("logGuard.")) heard.push(event);
        },
      },
    },
  });
  const actor = createActor(host, { clock });
  actor.start();
  const beat = async (times = 1) => {
    for (let i = 0; i < times; i++) {
      await settle();
      clock.increment(EVERY_MS);
    }
    await settle();
  };
  const giveUp = () =>
    actor.getSnapshot().children["logGuard"]?.send({
      type: "log.giveUp",
    } as never);
  const steps = () =>
    heard.flatMap((one) => (one.type === "logGuard.stepped" ? [one.step] : []));
  return { heard, beat, giveUp, steps, clock };
}

const well = () => Promise.resolve();
const lost = new ExtractError("SOURCE_CONNECTION_LOST", "reset by peer");

describe("the guardian of a log", () => {
  test("tells each measure, and a step only when it is another", async () => {
    const { heard, steps, beat } = startGuard([10, 60, 60, 90, 10], well);
    await beat(4);
    expect(
      heard.filter(({ type }) => type === "logGuard.measured"),
    ).toHaveLength(5);
    expect(steps()).toEqual(["warn", "pause", "calm"]);
  });

  test("is not put off by a source that cannot be asked, and says so once", async () => {
    const { heard, steps, beat } = startGuard(
      [lost, lost, lost, lost, lost, 60],
      well,
    );
    await beat(5);
    expect(heard.filter(({ type }) => type === "logGuard.blind")).toHaveLength(
      1,
    );
    expect(steps()).toEqual(["warn"]);
  });

  test("fails by name as soon as the log is gone", async () => {
    const gone = new ExtractError("SOURCE_POSITION_EXPIRED", "no such slot");
    const { heard, beat } = startGuard([10, gone], well);
    await beat();
    expect(heard.at(-1)).toMatchObject({
      type: "logGuard.failed",
      error: { code: "SOURCE_POSITION_EXPIRED" },
    });
  });

  test("has the source forget a log that is given up, whatever it was doing", async () => {
    const waiting = startGuard([10], well);
    await settle();
    waiting.giveUp();
    await settle();
    expect(waiting.heard.at(-1)).toEqual({
      type: "logGuard.dropped",
      error: null,
    });
    const measuring = startGuard([10], () => Promise.reject(lost));
    measuring.giveUp();
    await settle();
    expect(measuring.heard.at(-1)).toMatchObject({
      type: "logGuard.dropped",
      error: { code: "SOURCE_CONNECTION_LOST" },
    });
  });

  test("waits for a source that does not answer no longer than a minute", async () => {
    const { heard, giveUp, clock } = startGuard(
      [10],
      () => new Promise(() => {}),
    );
    await settle();
    giveUp();
    await settle();
    clock.increment(60_000);
    expect(heard.at(-1)).toMatchObject({
      type: "logGuard.dropped",
      error: { code: "PEER_STALLED" },
    });
  });
});
