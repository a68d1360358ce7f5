/**
 * Counters, gauges and histograms, and their text as Prometheus reads it. What has not changed since it was last written
 * is not written again, and whoever writes may stop between two pieces of it: the usual library makes the text of all
 * series of a metric at once and anew, 30 ms on the daemon's loop for the histogram of 1,000 syncs.
 * @see Prometheus, "Exposition formats", text format version 0.0.4
 */
import { strict as assert } from "node:assert";

export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Series whose text is written between two pauses: some tenths of a millisecond. */
const SERIES_PER_PIECE = 200;
/** Series that a gauge remembers beside those that it shows: their labels come again, as a rule. */
const STALE_MAX = 1_000;

type Labels<Label extends string> = Readonly<Record<Label, string>>;
type Collect = () => void | Promise<void>;

export interface FamilyOptions<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly Label[];
  readonly registers: readonly Registry[];
  /** Called before the text is asked for. */
  readonly collect?: Collect;
}

export class Registry {
  readonly families: Family<string>[] = [];

  /** @param pause called between two pieces */
  async render(pause: () => Promise<void>): Promise<string> {
    const parts: string[] = [];
    for (const family of this.families) {
      await family.collect();
      for (const piece of family.render()) {
        parts.push(piece);
        await pause();
      }
    }
    return parts.join("");
  }
}

interface Series {
  /** `sync="a",stream="b"`, without brackets. */
  readonly labels: string;
  /** One line or several; null: to be written anew. */
  text: string | null;
  /** Of the gauge's values that this one belongs to. */
  round: number;
}

abstract class Family<Label extends string, Kept extends Series = Series> {
  readonly name: string;
  readonly #head: string;
  readonly #labelNames: readonly Label[];
  readonly #series = new Map<string, Kept>();
  readonly #collect: Collect;
  #round = 0;
  /** Series of this round. */
  #count = 0;

  protected constructor(
    type: "counter" | "gauge" | "histogram",
    { name, help, labelNames, registers, collect }: FamilyOptions<Label>,
  ) {
    this.name = name;
    this.#labelNames = labelNames;
    this.#collect = collect ?? (() => {});
    const shown = help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
    this.#head = `# HELP ${name} ${shown}\n# TYPE ${name} ${type}\n`;
    for (const registry of registers)
      registry.families.push(this as unknown as Family<string>);
  }

  async collect(): Promise<void> {
    await this.#collect();
  }

  *render(): Iterable<string> {
    let piece = this.#head;
    let lines = 0;
    // without labels there is one series, from the start on
    if (this.#count === 0 && this.#labelNames.length === 0)
      piece += this.write(this.make("", this.#round));
    for (const [key, series] of this.#series) {
      if (series.round !== this.#round) {
        if (this.#series.size - this.#count > STALE_MAX)
          this.#series.delete(key);
        continue;
      }
      series.text ??= this.write(series);
      piece += series.text;
      lines += 1;
      if (lines % SERIES_PER_PIECE > 0) continue;
      yield piece;
      piece = "";
    }
    yield `${piece}\n`;
  }

  protected abstract make(labels: string, round: number): Kept;
  protected abstract write(series: Kept): string;
  /** It is of this round now, as if it were new. */
  protected abstract renew(series: Kept): void;

  protected clear(): void {
    this.#round += 1;
    this.#count = 0;
  }

  protected find(labels: Labels<Label>): Kept {
    const key = this.#labelNames.map((name) => labels[name]).join("\0");
    let series = this.#series.get(key);
    if (series?.round === this.#round) return series;
    this.#count += 1;
    if (series) {
      series.round = this.#round;
      this.renew(series);
      return series;
    }
    const text = this.#labelNames
      .map((name) => `${name}="${escapeLabel(labels[name])}"`)
      .join(",");
    series = this.make(text, this.#round);
    this.#series.set(key, series);
    return series;
  }
}

interface Single extends Series {
  value: number;
}

abstract class SingleFamily<Label extends string> extends Family<
  Label,
  Single
> {
  protected override make(labels: string, round: number): Single {
    return { labels, round, value: 0, text: null };
  }

  protected override write({ labels, value }: Single): string {
    return `${nameSeries(this.name, labels)} ${formatNumber(value)}\n`;
  }

  protected override renew(series: Single): void {
    series.value = 0;
    series.text = null;
  }

  protected put(series: Single, value: number): void {
    if (value === series.value && series.text !== null) return;
    series.value = value;
    series.text = null;
  }
}

export class Counter<Label extends string> extends SingleFamily<Label> {
  constructor(options: FamilyOptions<Label>) {
    super("counter", options);
  }

  inc(labels: Labels<Label>, by = 1): void {
    assert(by >= 0, "a counter never shrinks");
    const series = this.find(labels);
    this.put(series, series.value + by);
  }
}

/** Shows what was set since `reset`. */
export class Gauge<Label extends string> extends SingleFamily<Label> {
  constructor(options: FamilyOptions<Label>) {
    super("gauge", options);
  }

  reset(): void {
    this.clear();
  }

  set(labels: Labels<Label>, value: number): void {
    this.put(this.find(labels), value);
  }

  inc(labels: Labels<Label>, by = 1): void {
    const series = this.find(labels);
    this.put(series, series.value + by);
  }
}

interface Distribution extends Series {
  /** Observations up to each bound and above the one before, and those above all. */
  readonly counts: number[];
  sum: number;
  count: number;
}

export class Histogram<Label extends string> extends Family<
  Label,
  Distribution
> {
  readonly #bounds: readonly number[];

  /** @param buckets upper bounds, ascending */
  constructor(
    options: FamilyOptions<Label> & { readonly buckets: readonly number[] },
  ) {
    super("histogram", options);
    this.#bounds = options.buckets;
  }

  observe(labels: Labels<Label>, value: number, times = 1): void {
    const series = this.find(labels);
    const above = this.#bounds.findIndex((bound) => value <= bound);
    const at = above < 0 ? this.#bounds.length : above;
    series.counts[at] = (series.counts[at] ?? 0) + times;
    series.sum += value * times;
    series.count += times;
    series.text = null;
  }

  protected override make(labels: string, round: number): Distribution {
    const counts = [...this.#bounds, 0].map(() => 0);
    return { labels, round, counts, sum: 0, count: 0, text: null };
  }

  protected override renew(): void {
    assert.fail("observations are not taken back");
  }

  protected override write({
    labels,
    counts,
    sum,
    count,
  }: Distribution): string {
    const behind = labels === "" ? "" : `,${labels}`;
    let text = "";
    let upTo = 0;
    for (const [at, bound] of [...this.#bounds, Infinity].entries()) {
      upTo += counts[at] ?? 0;
      text += `${this.name}_bucket{le="${formatNumber(bound)}"${behind}} ${upTo}\n`;
    }
    text += `${nameSeries(`${this.name}_sum`, labels)} ${formatNumber(sum)}\n`;
    return `${text}${nameSeries(`${this.name}_count`, labels)} ${count}\n`;
  }
}

function nameSeries(name: string, labels: string): string {
  return labels === "" ? name : `${name}{${labels}}`;
}

function escapeLabel(value: string): string {
  return value
    .replaceAll("\\", "\\\\")
    .replaceAll('"', '\\"')
    .replaceAll("\n", "\\n");
}

function formatNumber(value: number): string {
  if (value === Infinity) return "+Inf";
  if (value === -Infinity) return "-Inf";
  return String(value);
}
