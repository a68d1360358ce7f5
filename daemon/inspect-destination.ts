/** Tries a destination without writing a row: a destination process of its own answers, and ends. */
import type { DestinationConfig, DestinationFact } from "../proto/control.ts";
import { ExtractError, fromWireError } from "../proto/error.ts";
import { startChild } from "./processes.ts";

/** Slower than any server that answers at all. */
const ANSWER_MS_MAX = 120_000;

/** @throws ExtractError of the destination: what would keep a sync from beginning */
export async function checkDestinationConfig(
  config: DestinationConfig,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = startChild("destination", {
    onFact: (fact) => {
      const known = fact as DestinationFact;
      if (known.type === "destination.opened") resolve();
      else if (known.type === "process.failed")
        reject(fromWireError(known.error));
    },
    onProtocolMessage: () => {},
    onExit: (description) =>
      reject(
        new ExtractError(
          "PROCESS_DIED",
          `the destination process ended early: ${description}`,
          { role: "destination" },
        ),
      ),
  });
  const timer = setTimeout(
    () =>
      reject(
        new ExtractError(
          "PEER_STALLED",
          `no answer from the destination within ${ANSWER_MS_MAX} ms`,
        ),
      ),
    ANSWER_MS_MAX,
  );
  try {
    child.send({
      type: "destination.open",
      settings: {
        attempt: { runId: "check", epoch: 0 },
        syncId: "check",
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
      },
    } as { type: string });
    await promise;
  } finally {
    clearTimeout(timer);
    await child.end();
  }
}
