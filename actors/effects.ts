/** How the effects of machines begin. */
import { fromPromise, type PromiseActorLogic } from "xstate";

/**
 * A promise that a machine invokes, whose work begins when the machine's step is over and not in the middle of it: what
 * an effect does before it first waits (encoding a footer, writing a ledger, loading a driver) would hold up the step,
 * and with it the answers to whoever sent the event. Effects begin in the order in which they were invoked.
 */
export function fromEffect<Output, Input>(
  effect: (given: {
    readonly input: Input;
    /** Aborted when the machine no longer wants the answer. */
    readonly signal: AbortSignal;
  }) => PromiseLike<Output>,
): PromiseActorLogic<Output, Input> {
  return fromPromise<Output, Input>(({ input, signal }) =>
    Promise.resolve({ input, signal }).then(effect),
  );
}
