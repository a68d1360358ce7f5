/** The end of an executable's run, told as the protocol wants it, once the run has let go of stdout. */
import { toTraceError } from "../../connectors/airbyte/errors.ts";
import type { RunSummary, StreamSummary } from "../request.ts";
import { describeName, writeMessage } from "./stdout.ts";

/** Ended by SIGTERM, as a shell tells it: 128 and the signal's number. */
const EXIT_TERMINATED = 143;

/**
 * Gives the exit code.
 * @param describeUnfinished what is said of a stream that is not complete; null: nothing
 */
export async function tellEnd(
  { streams, error, exitCode }: RunSummary,
  isStopped: boolean,
  describeUnfinished: (stream: StreamSummary) => string | null,
): Promise<number> {
  for (const stream of streams) {
    const status =
      stream.state === "committed" ? null : describeUnfinished(stream);
    if (status !== null) await writeMessage(status);
    if (stream.error !== null) await writeMessage(describeFailure(stream));
  }
  if (isStopped && exitCode !== 0) return EXIT_TERMINATED;
  if (error !== null) await writeMessage(toTraceError(error, Date.now()));
  return exitCode;
}

function describeFailure(stream: StreamSummary): object {
  if (stream.error === null) throw new Error(`${stream.name} has not failed`);
  const { trace } = toTraceError(stream.error, Date.now()) as {
    readonly trace: { readonly error: object };
  };
  const error = { ...trace.error, stream_descriptor: describeName(stream) };
  return { type: "TRACE", trace: { ...trace, error } };
}
