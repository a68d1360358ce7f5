/** Counts a run for people: events while it works, and the summary at its end. */
import { placeOf } from "./destinations.ts";
import type { RunOutcome } from "../actors/run/run.machine.ts";
import type { DestinationFact, SourceFact } from "../proto/control.ts";
import { errorCodes, type WireError } from "../proto/error.ts";
import { nameAtDestination } from "./naming.ts";
import type {
  RunEvent,
  RunSummary,
  StreamSummary,
  SyncRequest,
} from "./request.ts";
import type { BookStream, RunBook } from "./run-book.ts";
import { StreamCounts } from "./stream-counts.ts";

const INTERRUPTED_EXIT_CODE = 130;
const PARTLY_FAILED_EXIT_CODE = 4;

interface StreamCount {
  rowsRead: number;
  bytesRead: number;
  rowsDurable: number;
  partitionsDone: number;
  valuesNulled: Readonly<Record<string, number>>;
  readonly measures: StreamCounts;
}

type Totals = Pick<RunSummary, "state" | "exitCode" | "streams" | "error">;

export class RunTally {
  readonly #book: RunBook;
  readonly #request: SyncRequest;
  readonly #observe: (event: RunEvent) => void;
  readonly #counts = new Map<number, StreamCount>();

  constructor(
    book: RunBook,
    request: SyncRequest,
    observe: (event: RunEvent) => void,
  ) {
    this.#book = book;
    this.#request = request;
    this.#observe = observe;
  }

  #count(stream: number): StreamCount {
    let count = this.#counts.get(stream);
    if (!count) {
      count = {
        rowsRead: 0,
        bytesRead: 0,
        rowsDurable: 0,
        partitionsDone: 0,
        valuesNulled: {},
        measures: new StreamCounts(),
      };
      this.#counts.set(stream, count);
    }
    return count;
  }

  tellPlanned(number: number): void {
    const { ref, plan, rowsKept } = this.#book.stream(number);
    if (!plan) return;
    this.#count(number).rowsDurable = rowsKept;
    this.#observe({
      type: "stream.planned",
      stream: ref,
      rung: plan.rung,
      reason: plan.reason,
      partitions: plan.partitions.length,
      rowsEstimated: plan.estimatedRows,
      bytesEstimated: plan.estimatedBytes,
    });
  }

  addProgress(progress: Extract<SourceFact, { type: "progress" }>): void {
    for (const told of progress.streams) {
      const { stream, rows, bytes, partitionsDone } = told;
      const count = this.#count(stream);
      count.measures.addRead(told);
      count.rowsRead = rows;
      count.bytesRead = bytes;
      count.partitionsDone = partitionsDone;
      this.#tellProgress(stream);
    }
  }

  /** Told with what was measured of it, which follows. */
  addDurable(stream: number, rows: number, bytes: number): void {
    const count = this.#count(stream);
    count.rowsDurable += rows;
    count.measures.addDurable(rows, bytes);
  }

  noteRecorded(stream: number, index: number): void {
    this.#count(stream).measures.noteRecorded(index);
  }

  addMeasured(fact: Extract<DestinationFact, { type: "measured" }>): void {
    this.#count(fact.stream).measures.addWritten(fact, Date.now());
    // the others come with the source's progress
    if (fact.committed.length > 0) this.#tellProgress(fact.stream);
  }

  noteRead({
    stream,
    valuesNulled,
  }: Extract<SourceFact, { type: "stream.read" }>): void {
    this.#count(stream).valuesNulled = valuesNulled;
  }

  #tellProgress(number: number): void {
    const { ref, plan, rowsKept } = this.#book.stream(number);
    const { rowsRead, bytesRead, rowsDurable, partitionsDone, measures } =
      this.#count(number);
    this.#observe({
      type: "stream.progress",
      stream: ref,
      rowsRead: rowsRead + rowsKept,
      bytesRead,
      rowsDurable,
      partitionsDone,
      partitions: plan?.partitions.length ?? 0,
      measured: measures.take(this.#book.epoch, ref),
    });
  }

  tellEnded(number: number): void {
    this.#observe({
      type: "stream.finished",
      summary: this.#summarizeStream(this.#book.stream(number)),
    });
  }

  #summarizeStream(stream: BookStream): StreamSummary {
    const count = this.#count(stream.ref.number);
    return {
      ...stream.ref,
      state:
        stream.state === "committed"
          ? "committed"
          : stream.state === "failed"
            ? "failed"
            : "unfinished",
      rows: this.#book.countRows(stream.ref.number),
      rowsKept: stream.rowsKept,
      bytesRead: count.bytesRead,
      fileBytes: stream.files.reduce((sum, { bytes }) => sum + bytes, 0),
      files: stream.files.length,
      partitions: stream.plan?.partitions.length ?? 0,
      rung: stream.plan?.rung ?? null,
      folder: placeOf(
        this.#request.destination,
        nameAtDestination(this.#request.naming, stream.ref),
      ),
      error: stream.error,
      valuesNulled: count.valuesNulled,
      rowsWithoutCursor: stream.window?.rowsWithoutCursor ?? 0,
    };
  }

  summarize(outcome: RunOutcome, error: WireError | null): Totals {
    const problems = this.#book.problems.map(
      ({ ref, error: problem }): StreamSummary => ({
        ...ref,
        state: "failed",
        rows: 0,
        rowsKept: 0,
        bytesRead: 0,
        fileBytes: 0,
        files: 0,
        partitions: 0,
        rung: null,
        folder: "",
        error: problem,
        valuesNulled: {},
        rowsWithoutCursor: 0,
      }),
    );
    const streams = [
      ...this.#book.streams.map((stream) => this.#summarizeStream(stream)),
      ...problems,
    ];
    return { ...RunTally.summarizeNothing(outcome, error), streams };
  }

  static summarizeNothing(
    outcome: RunOutcome,
    error: WireError | null,
  ): Totals {
    const state = outcome === "aborted" ? "interrupted" : outcome;
    return {
      state,
      exitCode: chooseExitCode(state, error),
      streams: [],
      error,
    };
  }
}

function chooseExitCode(
  state: RunSummary["state"],
  error: WireError | null,
): number {
  switch (state) {
    case "succeeded":
      return 0;
    case "partlyFailed":
      return PARTLY_FAILED_EXIT_CODE;
    case "interrupted":
      return INTERRUPTED_EXIT_CODE;
    case "failed":
      return error ? errorCodes[error.code].exitCode : 1;
  }
}
