/** The file of `--trace`: the inspection records of all processes, one JSON object a line, in the order they came. */
import { createWriteStream, type WriteStream } from "node:fs";
import { countLines } from "../actors/inspection-lines.ts";
import type { InspectionRecord } from "../proto/control.ts";

/** What the disk may leave unwritten, above which records are left out. */
const QUEUED_BYTES_MAX = 16 * 1024 * 1024;

export class TraceFile {
  readonly #stream: WriteStream;
  #dropped = 0;
  #isBroken = false;
  #isClosed = false;

  /** @param onBroken told once, when nothing more can be written there */
  constructor(path: string, onBroken: (reason: Error) => void) {
    this.#stream = createWriteStream(path, { flags: "w" });
    this.#stream.on("error", (error) => {
      if (this.#isBroken) return;
      this.#isBroken = true;
      onBroken(error);
    });
  }

  /** What comes after `close` is left out: a keeper that is let go may still tell of its last step. */
  write(lines: string): void {
    if (this.#isBroken || this.#isClosed) return;
    if (this.#stream.writableLength > QUEUED_BYTES_MAX) {
      this.#dropped += countLines(lines);
      return;
    }
    this.#stream.write(this.#describeDropped() + lines);
  }

  /** Resolves when all that was written is in the file. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#isBroken) return;
    const rest = this.#describeDropped();
    await new Promise<void>((resolve) => {
      // an error closes it as well
      this.#stream.once("close", resolve);
      this.#stream.end(rest);
    });
  }

  #describeDropped(): string {
    if (this.#dropped === 0) return "";
    const record: InspectionRecord = {
      at: Date.now(),
      process: "bookkeeper",
      thread: 0,
      kind: "dropped",
      actor: "",
      machine: "",
      count: this.#dropped,
    };
    this.#dropped = 0;
    return `${JSON.stringify(record)}\n`;
  }
}
