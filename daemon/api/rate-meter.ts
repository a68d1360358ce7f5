/** Rows a second of each stream at work, over the last seconds: what progress says in steps, as a rate. */

const WINDOW_MS = 5_000;
/** No word for so long: the stream stands still, or has ended. */
const SILENCE_MS = 10_000;
const METERS_MAX = 10_000;

interface Sample {
  readonly at: number;
  readonly rows: number;
}

interface StreamLabels {
  readonly sync: string;
  readonly stream: string;
}

interface Meter {
  readonly queueId: string;
  readonly labels: StreamLabels;
  from: Sample;
  /** Becomes `from` when it is a window old: two samples, however often progress comes. */
  middle: Sample;
  last: Sample;
}

export class RateMeter {
  readonly #meters = new Map<string, Meter>();

  note(queueId: string, labels: StreamLabels, at: number, rows: number): void {
    const key = JSON.stringify([queueId, labels.stream]);
    const sample = { at, rows };
    const known = this.#meters.get(key);
    // an attempt that begins counts from nothing
    if (!known || rows < known.last.rows) {
      if (this.#meters.size >= METERS_MAX) return;
      this.#meters.set(key, {
        queueId,
        labels,
        from: sample,
        middle: sample,
        last: sample,
      });
      return;
    }
    known.last = sample;
    if (at - known.middle.at < WINDOW_MS) return;
    known.from = known.middle;
    known.middle = sample;
  }

  forget(queueId: string): void {
    for (const [key, meter] of this.#meters)
      if (meter.queueId === queueId) this.#meters.delete(key);
  }

  list(now: number): { labels: StreamLabels; perSecond: number }[] {
    return [...this.#meters.values()].map(({ labels, from, last }) => {
      const ms = last.at - from.at;
      const isSilent = now - last.at > SILENCE_MS;
      return {
        labels,
        perSecond:
          ms <= 0 || isSilent ? 0 : ((last.rows - from.rows) * 1000) / ms,
      };
    });
  }
}
