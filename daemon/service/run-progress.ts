/** How far the streams of a run have come, from what the run tells. */
import type { RunEvent, StreamRef } from "../request.ts";
import type { LiveRun } from "./types.ts";
import { nameTable } from "../../proto/table-name.ts";

type StreamProgress = LiveRun["streams"][number];

export class RunProgress {
  readonly #streams = new Map<number, StreamProgress>();

  get streams(): readonly StreamProgress[] {
    return [...this.#streams.values()];
  }

  note(event: RunEvent): void {
    switch (event.type) {
      case "stream.planned":
        this.#update(event.stream, { partitions: event.partitions });
        return;
      case "stream.progress": {
        const { type: _, stream, ...progress } = event;
        this.#update(stream, progress);
        return;
      }
      case "stream.finished": {
        const { summary } = event;
        this.#update(summary, {
          rowsDurable: summary.rows,
          partitions: summary.partitions,
          ...(summary.state === "committed"
            ? { partitionsDone: summary.partitions }
            : {}),
        });
        return;
      }
      default:
        return;
    }
  }

  #update(
    { number, namespace, name }: StreamRef,
    progress: Partial<StreamProgress>,
  ): void {
    const known = this.#streams.get(number) ?? {
      stream: nameTable({ namespace, name }),
      rowsRead: 0,
      rowsDurable: 0,
      bytesRead: 0,
      partitions: 0,
      partitionsDone: 0,
    };
    this.#streams.set(number, { ...known, ...progress });
  }
}
