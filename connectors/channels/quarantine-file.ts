/**
 * Events of a log that cannot be decoded, where the sync lets them be set aside: one line of JSON each in a file of the
 * run. It is on the disk before a checkpoint claims what is behind them, and it does not grow without bound.
 */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { ExtractError } from "../../proto/error.ts";

/** Beyond this something else is wrong than an event. */
const EVENTS_MAX = 10_000;
const BYTES_MAX = 256 * 1024 * 1024;

export interface Quarantine {
  /** Events of this attempt. */
  readonly count: number;
  /** @throws ExtractError SOURCE_EVENT_INVALID where it is full, QUARANTINE_UNWRITABLE */
  take(line: string): void;
  /** What was taken is on the disk from here on. */
  settle(): void;
  close(): void;
}

/** The file is made with the first event. */
export function openQuarantine(path: string): Quarantine {
  return new QuarantineFile(path);
}

class QuarantineFile implements Quarantine {
  readonly #path: string;
  #fd: number | null = null;
  #bytes = 0;
  #isSettled = true;
  count = 0;

  constructor(path: string) {
    this.#path = path;
  }

  take(line: string): void {
    const bytes = Buffer.from(`${line}\n`);
    const fd = this.#open();
    if (this.count >= EVENTS_MAX || this.#bytes + bytes.length > BYTES_MAX)
      throw new ExtractError(
        "SOURCE_EVENT_INVALID",
        `${this.count} events of the log were set aside and the quarantine is full: ${this.#path}`,
        { path: this.#path, events: this.count },
      );
    this.#guard(() => writeSync(fd, bytes));
    this.#bytes += bytes.length;
    this.count += 1;
    this.#isSettled = false;
  }

  settle(): void {
    const fd = this.#fd;
    if (this.#isSettled || fd === null) return;
    this.#guard(() => fsyncSync(fd));
    this.#isSettled = true;
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }

  #open(): number {
    this.#fd ??= this.#guard(() => {
      const folder = dirname(this.#path);
      mkdirSync(folder, { recursive: true });
      // rows of the source are nobody else's
      const fd = openSync(this.#path, "a", 0o600);
      // the name as well as what is behind it
      const parent = openSync(folder, "r");
      fsyncSync(parent);
      closeSync(parent);
      this.#bytes = fstatSync(fd).size;
      return fd;
    });
    return this.#fd;
  }

  #guard<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (cause) {
      throw new ExtractError(
        "QUARANTINE_UNWRITABLE",
        `an event of the log cannot be set aside: ${cause instanceof Error ? cause.message : String(cause)}`,
        { path: this.#path },
        { cause },
      );
    }
  }
}
