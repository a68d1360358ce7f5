/** Puts the records of several processes, which come in chunks, in the order of their time. */
import { readRecord, type ModelRecord } from "./model/records.ts";

/** One line; a plan of a thousand partitions is the longest. */
const LINE_CHARS_MAX = 1024 * 1024;
/** Records that wait at most. */
const WAITING_MAX = 20_000;

export interface OrderedRecord {
  readonly line: string;
  readonly record: ModelRecord;
  readonly receivedAt: number;
}

export class RecordOrder {
  #waiting: OrderedRecord[] = [];

  get size(): number {
    return this.#waiting.length;
  }

  get isFull(): boolean {
    return this.#waiting.length >= WAITING_MAX;
  }

  add(line: string, receivedAt: number): void {
    if (line.length > LINE_CHARS_MAX) return;
    const record = parseRecord(line);
    if (record !== null) this.#waiting.push({ line, record, receivedAt });
  }

  /** Those that came by then, by their own time; equal ones as they came. */
  take(receivedUntil: number): OrderedRecord[] {
    const end = this.#waiting.findIndex(
      ({ receivedAt }) => receivedAt > receivedUntil,
    );
    const taken = this.#waiting.splice(0, end < 0 ? this.#waiting.length : end);
    return taken.sort((a, b) => a.record.at - b.record.at);
  }
}

/** Null for what is none. */
export function parseRecord(line: string): ModelRecord | null {
  try {
    return readRecord(JSON.parse(line));
  } catch {
    return null;
  }
}
