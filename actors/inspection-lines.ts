/**
 * Inspection records as text: each is serialised once, where it is made, and leaves with others in a chunk. One by one,
 * 600 records cost a run 0.16 s of CPU, nearly all of it for waking the threads and processes on their way.
 */
import type { InspectionRecord } from "../proto/control.ts";

const CHUNK_RECORDS_MAX = 512;
const CHUNK_CHARS_MAX = 64 * 1024;
/** How old a record may become before it leaves. */
const CHUNK_DELAY_MS = 100;
/**
 * Of one thread. A run writes a few kilobytes a second; what is above this would be a machine that has gone wild, and
 * whoever reads the other end may be held up by it.
 */
const CHARS_PER_SECOND_MAX = 1024 * 1024;
const SECOND_MS = 1000;

/** @returns whether somebody took the lines: false leaves them out, and they are counted */
export type SendLines = (lines: string) => boolean;

export type RecordOrigin = Pick<InspectionRecord, "process" | "thread">;

export class InspectionLines {
  readonly #origin: RecordOrigin;
  readonly #send: SendLines;
  #text = "";
  #records = 0;
  #dropped = 0;
  #secondBegan = 0;
  #charsInSecond = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(origin: RecordOrigin, send: SendLines) {
    this.#origin = origin;
    this.#send = send;
  }

  add(record: InspectionRecord): void {
    const line = `${JSON.stringify(record)}\n`;
    if (this.#isAffordable(record.at, line.length)) {
      this.#text += line;
      this.#records += 1;
    } else this.#dropped += 1;
    if (
      this.#records >= CHUNK_RECORDS_MAX ||
      this.#text.length >= CHUNK_CHARS_MAX
    )
      this.flush();
    else this.#flushLater();
  }

  /** Hands on what another thread has made. */
  forward(lines: string): void {
    if (this.#send(lines)) return;
    this.#dropped += countLines(lines);
    this.#flushLater();
  }

  flush(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#records === 0 && this.#dropped === 0) return;
    const text = this.#text + this.#describeDropped();
    const isSent = this.#send(text);
    this.#dropped = isSent ? 0 : this.#dropped + this.#records;
    this.#text = "";
    this.#records = 0;
    if (!isSent) this.#flushLater();
  }

  #isAffordable(at: number, chars: number): boolean {
    // the clock may be set back
    if (Math.abs(at - this.#secondBegan) >= SECOND_MS) {
      this.#secondBegan = at;
      this.#charsInSecond = 0;
    }
    if (this.#charsInSecond + chars > CHARS_PER_SECOND_MAX) return false;
    this.#charsInSecond += chars;
    return true;
  }

  #describeDropped(): string {
    if (this.#dropped === 0) return "";
    const record: InspectionRecord = {
      at: Date.now(),
      ...this.#origin,
      kind: "dropped",
      actor: "",
      machine: "",
      count: this.#dropped,
    };
    return `${JSON.stringify(record)}\n`;
  }

  #flushLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.flush();
    }, CHUNK_DELAY_MS).unref();
  }
}

export function countLines(lines: string): number {
  let count = 0;
  let at = lines.indexOf("\n");
  while (at >= 0) {
    count += 1;
    at = lines.indexOf("\n", at + 1);
  }
  return count;
}

/** For who wants the records themselves. */
export function parseLines(lines: string): InspectionRecord[] {
  return lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as InspectionRecord);
}
