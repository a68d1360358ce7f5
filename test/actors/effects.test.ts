import { createActor, setup } from "xstate";
import { expect, test } from "vitest";
import { fromEffect } from "../../actors/effects.ts";

function startWith(
  work: (given: { input: string; signal: AbortSignal }) => Promise<string>,
  told: string[],
) {
  const machine = setup({
    types: { events: {} as { type: "go" } | { type: "leave" } },
    actors: { work: fromEffect(work) },
    actions: {
      note: (_, params: { what: string }) => void told.push(params.what),
    },
  }).createMachine({
    initial: "waiting",
    states: {
      waiting: { on: { go: "working" } },
      working: {
        entry: { type: "note", params: { what: "entered" } },
        invoke: {
          src: "work",
          input: "given",
          onDone: {
            target: "over",
            actions: {
              type: "note",
              params: ({ event }) => ({ what: event.output }),
            },
          },
          onError: "over",
        },
        on: { leave: "over" },
      },
      over: {},
    },
  });
  return createActor(machine).start();
}

test("an effect begins when the step that invoked it is over, and its answer is told", async () => {
  const told: string[] = [];
  const actor = startWith(async ({ input }) => {
    told.push(`began with ${input}`);
    return "answered";
  }, told);
  actor.send({ type: "go" });
  told.push("step over");
  await expect.poll(() => actor.getSnapshot().value).toBe("over");
  expect(told).toEqual([
    "entered",
    "step over",
    "began with given",
    "answered",
  ]);
});

test("an effect that throws before it waits has failed, and no step is torn down", async () => {
  const actor = startWith(() => {
    throw new Error("at once");
  }, []);
  actor.send({ type: "go" });
  expect(actor.getSnapshot().value).toBe("working");
  await expect.poll(() => actor.getSnapshot().value).toBe("over");
  expect(actor.getSnapshot().status).toBe("active");
});

test("whoever is no longer wanted is told so", async () => {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const actor = startWith(async ({ signal }) => {
    signal.addEventListener("abort", () => resolve(signal.aborted));
    return new Promise<string>(() => {});
  }, []);
  actor.send({ type: "go" });
  await new Promise((turn) => setImmediate(turn));
  actor.send({ type: "leave" });
  expect(await promise).toBe(true);
});
