/** The feed at a daemon: records as they come, the names of the syncs, and how runs end. */
import type { DaemonEvent } from "../service/types.ts";
import type { InspectorFeed } from "./feed.ts";

/** The last records of a run come behind its summary: its machines stop after they have told it. */
const LATE_MS = 500;

export interface InspectedDaemon {
  inspectLines(listener: (runId: string, lines: string) => void): () => void;
  subscribe(listener: (event: DaemonEvent) => void): () => void;
}

/** @returns how to stop */
export function attachFeed(
  daemon: InspectedDaemon,
  feed: InspectorFeed,
): () => void {
  const ends = new Map<string, NodeJS.Timeout>();
  const endNow = (runId: string): void => {
    clearTimeout(ends.get(runId));
    if (ends.delete(runId)) feed.end(runId);
  };
  const stops = [
    () => {
      for (const runId of ends.keys()) endNow(runId);
    },
    daemon.inspectLines((runId, lines) => feed.addLines(runId, lines)),
    daemon.subscribe((told) => {
      if (told.type !== "run.event") return;
      const { sync, event } = told;
      // one that ended before it had begun to read is named by its summary only
      const runId =
        told.runId ??
        (event.type === "run.finished" ? event.summary.runId : null);
      if (runId === null || runId === "") return;
      if (event.type === "run.started") {
        // gone on with at once: it has not ended
        clearTimeout(ends.get(runId));
        ends.delete(runId);
        feed.addFigures(runId, {
          type: "run",
          state: "",
          sync,
          epoch: event.epoch,
          error: null,
        });
      } else if (event.type === "log.progress") {
        const { figures, measure, step } = event;
        feed.addFigures(runId, {
          type: "log",
          asOfMs: figures?.asOfMs ?? 0,
          lagBytes: measure?.lagBytes ?? null,
          step,
        });
      } else if (event.type === "run.finished") {
        const { epoch, state, error } = event.summary;
        feed.addFigures(runId, {
          type: "run",
          state,
          sync,
          epoch,
          error: error === null ? null : `${error.code}: ${error.message}`,
        });
        ends.set(runId, setTimeout(() => endNow(runId), LATE_MS).unref());
      }
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}
