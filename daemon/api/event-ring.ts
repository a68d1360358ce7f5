/**
 * The newest events of the daemon as text, for subscribers that come back, and those who listen now. Everything is
 * bounded: the ring by events and bytes, the listeners by number.
 */
export const EVENTS_KEPT_MAX = 4096;
export const EVENTS_KEPT_BYTES_MAX = 512 * 1024;
export const LISTENERS_MAX = 64;

export interface RingEvent {
  readonly sequence: number;
  readonly type: string;
  readonly sync: string | null;
  /** Of the queue entry and of the run, where there is one. */
  readonly runs: readonly string[];
  /** JSON on one line. */
  readonly text: string;
}

export class EventRing {
  readonly #events: RingEvent[] = [];
  readonly #listeners = new Set<(event: RingEvent) => void>();
  #bytes = 0;
  #newest = 0;

  get newest(): number {
    return this.#newest;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  add(event: RingEvent): void {
    this.#newest = event.sequence;
    this.#events.push(event);
    this.#bytes += event.text.length;
    while (
      this.#events.length > EVENTS_KEPT_MAX ||
      (this.#bytes > EVENTS_KEPT_BYTES_MAX && this.#events.length > 0)
    )
      this.#bytes -= this.#events.shift()?.text.length ?? 0;
    for (const listener of this.#listeners) listener(event);
  }

  /** What came after a sequence, and how many of it are no longer kept. */
  since(sequence: number): { events: readonly RingEvent[]; missed: number } {
    const oldest = this.#events[0]?.sequence ?? this.#newest + 1;
    return {
      events: this.#events.filter((event) => event.sequence > sequence),
      missed: Math.max(0, oldest - 1 - sequence),
    };
  }

  /** Returns how to stop; null when there are too many. */
  listen(listener: (event: RingEvent) => void): (() => void) | null {
    if (this.#listeners.size >= LISTENERS_MAX) return null;
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}
