/** The end of an executable's run, told as the protocol wants it, once the run has let go of stdout. */
import { toTraceError } from "../../connectors/airbyte/errors.ts";
import type { RunHandle, RunSummary, StreamSummary } from "../request.ts";
import type { OwnProcessPlacement } from "./placement.ts";
import { describeName, writeMessage } from "./stdout.ts";

/** Ended by SIGTERM, as a shell tells it: 128 and the signal's number. */
const EXIT_TERMINATED = 143;
/** A run that is told to end gets this long to reach its next checkpoints or states. */
const STOP_MS_MAX = 30_000;

/** Until the run is over; the first signal stops it, and a second one ends it at once. */
export async function awaitRun(
  run: RunHandle,
  placement: OwnProcessPlacement,
): Promise<{ readonly summary: RunSummary; readonly isStopped: boolean }> {
  let timer: NodeJS.Timeout | null = null;
  const stop = (): void => {
    if (timer) return run.abort();
    timer = setTimeout(() => run.abort(), STOP_MS_MAX);
    run.stop();
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, stop);
  try {
    const summary = await run.done;
    return { summary, isStopped: timer !== null };
  } finally {
    if (timer) clearTimeout(timer);
    await placement.close();
  }
}

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
