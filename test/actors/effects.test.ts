import { createActor, setup } from "xstate";
import { expect, test, vi } from "vitest";
import { fromEffect, giveEffects } from "../../actors/effects.ts";

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

function createGreeter() {
  return setup({
    types: {
      context: {} as { readonly name: string },
      events: {} as { type: "greet" } | { type: "leave" },
      input: {} as { readonly name: string },
    },
    actions: {
      say: (_, _params: { what: string }) => {
        throw new Error("say is not provided");
      },
    },
    guards: {
      isWelcome: (): boolean => {
        throw new Error("isWelcome is not provided");
      },
    },
    delays: { patience: 1_000_000 },
  }).createMachine({
    id: "greeter",
    initial: "waiting",
    context: ({ input }) => input,
    states: {
      waiting: {
        after: { patience: "bored" },
        on: { greet: { guard: "isWelcome", target: "greeting" } },
      },
      greeting: {
        entry: {
          type: "say",
          params: ({ context }) => ({ what: `hello ${context.name}` }),
        },
        on: { leave: "over" },
      },
      bored: {},
      over: { type: "final" },
    },
  });
}

test("machines with different effects share their tree of states, and each runs its own", () => {
  const greeter = createGreeter();
  const first: string[] = [];
  const second: string[] = [];
  const welcoming = giveEffects(greeter, {
    actions: { say: (_, { what }) => void first.push(what) },
    guards: { isWelcome: () => true },
  });
  const other = giveEffects(welcoming, {
    actions: { say: (_, { what }) => void second.push(what) },
  });
  expect(welcoming.root).toBe(greeter.root);
  for (const [machine, name] of [
    [welcoming, "a"],
    [other, "b"],
    [welcoming, "c"],
  ] as const) {
    const actor = createActor(machine, { input: { name } }).start();
    actor.send({ type: "greet" });
    expect(actor.getSnapshot().value).toBe("greeting");
    expect(actor.getSnapshot().machine).toBe(machine);
    actor.send({ type: "leave" });
    expect(actor.getSnapshot().status).toBe("done");
  }
  expect([first, second]).toEqual([["hello a", "hello c"], ["hello b"]]);
});

test("the machine that effects are given to stays without them", () => {
  const greeter = createGreeter();
  giveEffects(greeter, { guards: { isWelcome: () => true } });
  const errors: unknown[] = [];
  const actor = createActor(greeter, { input: { name: "a" } });
  actor.subscribe({ error: (error) => errors.push(error) });
  actor.start();
  actor.send({ type: "greet" });
  expect(String(errors[0])).toContain("isWelcome is not provided");
});

test("delays may be given, and a snapshot that was kept goes on with the effects of its machine", () => {
  vi.useFakeTimers();
  try {
    const impatient = giveEffects(createGreeter(), { delays: { patience: 5 } });
    const actor = createActor(impatient, { input: { name: "a" } }).start();
    const kept = actor.getPersistedSnapshot();
    vi.advanceTimersByTime(5);
    expect(actor.getSnapshot().value).toBe("bored");
    const again = createActor(impatient, {
      input: { name: "a" },
      snapshot: kept,
    });
    expect(again.getSnapshot().value).toBe("waiting");
    expect(again.getSnapshot().machine).toBe(impatient);
  } finally {
    vi.useRealTimers();
  }
});

test("no method of the library's machine stays tied to the one that effects are given to", () => {
  const greeter = createGreeter();
  const given = giveEffects(greeter, {});
  const own = Object.entries(greeter).filter(
    ([, value]) => typeof value === "function",
  );
  expect(own.length).toBeGreaterThan(0);
  for (const [name, method] of own)
    expect(given[name as keyof typeof given], name).not.toBe(method);
});
