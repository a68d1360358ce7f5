/**
 * Where the time of a thread's reads goes. The event loop counts for itself how long it was idle; what is idle while a
 * batch waits for its socket is the socket's, what is idle otherwise is the source's, and what is not idle is decoding
 * (mappers and framing included). So two clock readings a batch are all it costs, whatever a batch holds. Where a read
 * waits for both at once, the socket is said to be what it waits for.
 */
import { performance } from "node:perf_hooks";
import type { ReadSink } from "../sources/source.ts";

/** Milliseconds. */
export interface ReadPhases {
  readonly waiting: number;
  readonly decoding: number;
  readonly socket: number;
}

/** How long this thread's loop has been idle and active since it began, in milliseconds. */
interface LoopTimes {
  readonly idle: number;
  readonly active: number;
}

export class PhaseClock {
  readonly #read: () => LoopTimes;
  #since: LoopTimes;
  #writes = 0;
  #idleAtWrite = 0;
  #socket = 0;

  constructor(
    read: () => LoopTimes = () => performance.eventLoopUtilization(),
  ) {
    this.#read = read;
    this.#since = read();
  }

  /** From here on the time counts; what was before belongs to no read. */
  begin(): void {
    this.#since = this.#read();
    this.#idleAtWrite = this.#since.idle;
    this.#socket = 0;
  }

  /** The sink, with the waits for it counted. */
  watch(sink: ReadSink): ReadSink {
    return {
      batch: async (batch) => {
        if (this.#writes === 0) this.#idleAtWrite = this.#read().idle;
        this.#writes += 1;
        try {
          await sink.batch(batch);
        } finally {
          this.#writes -= 1;
          if (this.#writes === 0)
            this.#socket += this.#read().idle - this.#idleAtWrite;
        }
      },
      checkpoint: (position, last) => sink.checkpoint(position, last),
      valueNulled: (column, reason) => sink.valueNulled(column, reason),
    };
  }

  /** Since `begin` or the last call. */
  take(): ReadPhases {
    const now = this.#read();
    if (this.#writes > 0) {
      this.#socket += now.idle - this.#idleAtWrite;
      this.#idleAtWrite = now.idle;
    }
    const idle = now.idle - this.#since.idle;
    const socket = Math.min(idle, this.#socket);
    const decoding = now.active - this.#since.active;
    this.#since = now;
    this.#socket = 0;
    return { waiting: idle - socket, decoding, socket };
  }
}
