/** Long work on the daemon's loop, in steps of some milliseconds: whoever else waits for it has its turn in between. */
import { setImmediate as nextTurn } from "node:timers/promises";

const STEP_MS = 5;

/**
 * Gives a function to be called between two pieces of work: it lets the loop turn once a step is used up, and costs
 * nothing before. On a loaded loop each turn takes many times what the work does, so there are as few as can be.
 */
export function takeBreaths(): () => Promise<void> {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < STEP_MS) return;
    await nextTurn();
    since = performance.now();
  };
}
