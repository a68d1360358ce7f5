/** What metrics are told of one stream, summed up since its attempt began. */
import type { DestinationFact, SourceFact } from "../proto/control.ts";
import type { StreamMeasures, StreamRef } from "./request.ts";
import { nameTable } from "../proto/table-name.ts";

type Read = Extract<SourceFact, { type: "progress" }>["streams"][number];
type Written = Extract<DestinationFact, { type: "measured" }>;

export class StreamCounts {
  #read: Omit<Read, "stream"> = {
    rows: 0,
    bytes: 0,
    partitionsDone: 0,
    checkpoints: 0,
    waitingMs: 0,
    decodingMs: 0,
    socketMs: 0,
  };
  #rowsDurable = 0;
  #bytesDurable = 0;
  #encodingMs = 0;
  #uploadingMs = 0;
  #checkpointsDurable = 0;
  #indexRecorded = 0;
  #committed: { ageMs: number; batches: number }[] = [];

  /** The source's sums are cumulative. */
  addRead(read: Read): void {
    this.#read = read;
  }

  addDurable(rows: number, bytes: number): void {
    this.#rowsDurable += rows;
    this.#bytesDurable += bytes;
    this.#checkpointsDurable += 1;
  }

  noteRecorded(index: number): void {
    this.#indexRecorded = Math.max(this.#indexRecorded, index);
  }

  addWritten(
    { encodingMs, uploadingMs, committed }: Written,
    now: number,
  ): void {
    this.#encodingMs += encodingMs;
    this.#uploadingMs += uploadingMs;
    for (const [at, batches] of committed)
      this.#committed.push({ ageMs: now - at, batches });
  }

  /** What was committed is told once. */
  take(epoch: number, { namespace, name }: StreamRef): StreamMeasures {
    const { rows, bytes, partitionsDone, checkpoints } = this.#read;
    const { waitingMs, decodingMs, socketMs } = this.#read;
    const committed = this.#committed;
    this.#committed = [];
    return {
      epoch,
      stream: nameTable({ namespace, name }),
      rowsRead: rows,
      rowsDurable: this.#rowsDurable,
      bytesRead: bytes,
      bytesDurable: this.#bytesDurable,
      partitionsDone,
      checkpointsOutstanding: Math.max(
        0,
        // states come after the reports that they cover, and void indexes have no report
        checkpoints - Math.max(this.#indexRecorded, this.#checkpointsDurable),
      ),
      phasesMs: {
        waiting: waitingMs,
        decoding: decodingMs,
        socket: socketMs,
        encoding: this.#encodingMs,
        uploading: this.#uploadingMs,
      },
      committed,
    };
  }
}
