/** A steady beat: every interval it has the process report its progress, and once more when told to stop. */
import { setup } from "xstate";

export const statsEmitterMachine = setup({
  types: {
    input: {} as { readonly everyMs: number },
    context: {} as { readonly everyMs: number },
    events: {} as { readonly type: "stats.stop" },
  },
  actions: {
    emitStats: () => {
      throw new Error("emitStats is not provided");
    },
  },
  delays: { interval: ({ context }) => context.everyMs },
}).createMachine({
  id: "statsEmitter",
  initial: "waiting",
  context: ({ input }) => input,
  on: { "stats.stop": ".stopped" },
  states: {
    waiting: { after: { interval: "emitting" } },
    emitting: { entry: "emitStats", always: "waiting" },
    stopped: { type: "final", entry: "emitStats" },
  },
});
