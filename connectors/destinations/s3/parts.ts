/**
 * The memory of uploads: parts that are filled, and parts that are on their way. One pool for all writers of a channel.
 */

/** S3 takes 5 MiB at least and 10,000 parts: 78 GiB a file (Amazon S3 user guide, "Multipart upload limits"). */
export const PART_BYTES = 8 * 1024 * 1024;
export const PARTS_MAX = 10_000;
/** What a part begins with; it is doubled while it is filled, as most objects are small. */
const PART_BYTES_FIRST = 64 * 1024;
/** Beyond these the encoder waits. Together with the one that is filled: 40 MiB a channel. */
const PARTS_IN_FLIGHT_MAX = 4;

export class PartPool {
  readonly #free: Buffer[] = [];
  readonly #waiting: (() => void)[] = [];
  #inFlight = 0;

  /** An empty part to fill, which `grow` makes larger. */
  take(): Buffer {
    return Buffer.allocUnsafeSlow(PART_BYTES_FIRST);
  }

  /** An empty part of full size. */
  takeFull(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(PART_BYTES);
  }

  /** The part's bytes in one of twice the size. */
  grow(part: Buffer): Buffer {
    const bytes = part.byteLength * 2;
    const grown =
      bytes < PART_BYTES ? Buffer.allocUnsafeSlow(bytes) : this.takeFull();
    grown.set(part);
    return grown;
  }

  /** A part that nobody reads any more. */
  give(part: Buffer): void {
    if (part.byteLength < PART_BYTES) return;
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

/**
 * Bytes that are finished and wait for their names, in objects small enough to be sent with them. Writers of many small
 * objects wait until there is room.
 */
export class WaitingBytes {
  readonly #bytesMax: number;
  readonly #waiting: (() => void)[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
  }

  remove(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#bytes > this.#bytesMax) return;
    for (const resume of this.#waiting.splice(0)) resume();
  }

  /** Waits while more bytes wait than are allowed. */
  async waitForRoom(): Promise<void> {
    while (this.#bytes > this.#bytesMax)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
