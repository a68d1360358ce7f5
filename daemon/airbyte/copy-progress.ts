/** What a read has of a stream's partitions, as its states tell it. */
import type { DurableReport } from "../../proto/checkpoint.ts";
import type { KeyTuple } from "../../proto/partition.ts";
import type { RunBook } from "../run-book.ts";

export class CopyProgress {
  readonly done = new Set<number>();
  /** The last key of each that is not done. */
  readonly after: Map<number, KeyTuple>;

  /** Of a stream that begins, where its plan was kept behind what was read before. */
  constructor(book: RunBook, number: number) {
    this.after = new Map(
      book
        .openAtStart(number)
        .flatMap(({ partition, position }) =>
          position.kind === "key" ? [[partition, position.after]] : [],
        ),
    );
  }

  note({ partition, position, last }: DurableReport): void {
    if (last) this.done.add(partition);
    else if (position?.kind === "key")
      this.after.set(partition, position.after);
  }
}
