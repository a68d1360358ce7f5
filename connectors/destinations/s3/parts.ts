/**
 * The memory of uploads: parts that are filled, and parts that are on their way. One pool for all writers of a channel.
 */

/** S3 takes 5 MiB at least and 10,000 parts: 78 GiB a file (Amazon S3 user guide, "Multipart upload limits"). */
const PART_BYTES = 8 * 1024 * 1024;
export const PARTS_MAX = 10_000;
/** Beyond these the encoder waits. Together with the one that is filled: 40 MiB a channel. */
const PARTS_IN_FLIGHT_MAX = 4;

export class PartPool {
  readonly #free: Buffer[] = [];
  readonly #waiting: (() => void)[] = [];
  #inFlight = 0;

  /** An empty part to fill. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(PART_BYTES);
  }

  /** A part that nobody reads any more. */
  give(part: Buffer): void {
    if (this.#free.length <= PARTS_IN_FLIGHT_MAX) this.#free.push(part);
  }

  /** Takes one of the places of parts in flight, unless all are taken. */
  tryBegin(): boolean {
    if (this.#inFlight >= PARTS_IN_FLIGHT_MAX) return false;
    this.#inFlight += 1;
    return true;
  }

  /** Waits for a place and takes it. */
  async begin(): Promise<void> {
    while (!this.tryBegin())
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  end(): void {
    this.#inFlight -= 1;
    this.#waiting.shift()?.();
  }
}
