/** A destination process of its own that removes what intents name, and ends. */
import type {
  AttemptRef,
  DestinationConfig,
  DestinationFact,
  DestinationOrder,
  DestinationSettings,
  GenerationIntent,
} from "../../proto/control.ts";
import { ExtractError, fromWireError } from "../../proto/error.ts";
import { startChild } from "../processes.ts";

/** Of one order: what is left is done by the next sweep. */
const ANSWER_MS_MAX = 600_000;
/** An order is one line. */
const INTENTS_PER_ORDER = 100;

export interface Cleaning {
  readonly attempt: AttemptRef;
  /** As destinations know it. */
  readonly syncId: string;
  readonly config: DestinationConfig;
  readonly intents: readonly GenerationIntent[];
}

/**
 * Gives how many things were removed.
 * @throws ExtractError of the destination; PROCESS_DIED; PEER_STALLED
 */
export async function cleanDestination(
  { attempt, syncId, config, intents }: Cleaning,
  signal: AbortSignal,
): Promise<number> {
  let answer = Promise.withResolvers<DestinationFact>();
  // nobody waits while it is being ended
  const refuse = (error: unknown): void => {
    answer.promise.catch(() => {});
    answer.reject(error);
  };
  const child = startChild("destination", {
    onFact: (fact) => {
      const known = fact as DestinationFact;
      if (known.type === "process.failed") refuse(fromWireError(known.error));
      else if (
        known.type === "destination.opened" ||
        known.type === "destination.cleaned"
      )
        answer.resolve(known);
    },
    onProtocolMessage: () => {},
    onExit: (description) =>
      refuse(
        new ExtractError(
          "PROCESS_DIED",
          `the destination process ended early: ${description}`,
          { role: "destination" },
        ),
      ),
  });
  const stop = (): void =>
    refuse(new ExtractError("RUN_STATE", "the sweep was stopped"));
  signal.addEventListener("abort", stop);
  const ask = async (order: DestinationOrder): Promise<DestinationFact> => {
    answer = Promise.withResolvers();
    if (signal.aborted) stop();
    const timer = setTimeout(
      () =>
        refuse(
          new ExtractError(
            "PEER_STALLED",
            `no answer from the destination within ${ANSWER_MS_MAX} ms`,
          ),
        ),
      ANSWER_MS_MAX,
    );
    try {
      child.send(order);
      return await answer.promise;
    } finally {
      clearTimeout(timer);
    }
  };
  try {
    const settings = describeSettings({ attempt, syncId, config });
    await ask({ type: "destination.open", settings });
    let removed = 0;
    for (let from = 0; from < intents.length; from += INTENTS_PER_ORDER) {
      const some = intents.slice(from, from + INTENTS_PER_ORDER);
      const fact = await ask({
        type: "destination.clean",
        intents: some,
        keep: [],
      });
      if (fact.type === "destination.cleaned") removed += fact.removed;
    }
    return removed;
  } finally {
    signal.removeEventListener("abort", stop);
    await child.end();
  }
}

/** Nothing is sent to it: no channel, no deadline. */
function describeSettings({
  attempt,
  syncId,
  config,
}: Pick<Cleaning, "attempt" | "syncId" | "config">): DestinationSettings {
  return {
    attempt,
    syncId,
    config,
    frameBytesMax: 0,
    times: {
      handshakeMs: 0,
      probeMs: 0,
      probeDeadlineMs: 0,
      connectDeadlineMs: 0,
    },
    checkpointDeadlineMs: 0,
    inspect: false,
  };
}
