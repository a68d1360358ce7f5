/**
 * What one channel of the destination measures for the metrics: how long its writers encode and wait, and when the
 * batches of each checkpoint arrived. Told every TELL_MS and with each checkpoint, not with each batch.
 */
import type {
  StreamWriter,
  WriterFactory,
} from "../destinations/destination.ts";
import type { DestinationFact } from "../../proto/control.ts";

type WriteMeasured = Extract<DestinationFact, { type: "measured" }>;

const TELL_MS = 200;
/** Groups of batches between two checkpoints; the resolution halves when there would be more. */
export const GROUPS_MAX = 128;
const GROUP_MS = 20;

interface Group {
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  batches: number;
}

/** Batches by when they arrived, in groups: a long checkpoint has many thousands. */
export class Arrivals {
  #groups: Group[] = [];
  #groupMs = GROUP_MS;

  add(at: number): void {
    const last = this.#groups.at(-1);
    if (last && at - last.at < this.#groupMs) {
      last.batches += 1;
      return;
    }
    this.#groups.push({ at, batches: 1 });
    if (this.#groups.length > GROUPS_MAX) this.#join();
  }

  get groups(): WriteMeasured["committed"] {
    return this.#groups.map(({ at, batches }) => [at, batches] as const);
  }

  #join(): void {
    this.#groupMs *= 2;
    const joined: Group[] = [];
    for (const group of this.#groups) {
      const last = joined.at(-1);
      if (last && group.at - last.at < this.#groupMs)
        last.batches += group.batches;
      else joined.push(group);
    }
    this.#groups = joined;
  }
}

interface CheckpointName {
  readonly stream: number;
  readonly index: number;
}

interface WriteTimes {
  encoding: number;
  uploading: number;
}

function nameOf({ stream, index }: CheckpointName): string {
  return `${stream}#${index}`;
}

export class WriteClock {
  readonly #tell: (fact: WriteMeasured) => void;
  /** Of checkpoints that are being made durable. */
  readonly #sealing = new Map<string, Arrivals>();
  /** By stream, untold. */
  readonly #times = new Map<number, WriteTimes>();
  #toldAt = 0;

  constructor(tell: (fact: WriteMeasured) => void) {
    this.#tell = tell;
  }

  /** The factory, with what its writers do measured. */
  watch(factory: WriterFactory): WriterFactory {
    return {
      createWriter: (target) =>
        this.#watchWriter(
          factory.createWriter(target),
          target.stream.schema.number,
        ),
      close: () => factory.close(),
    };
  }

  /** The checkpoint was told as durable: this follows it. */
  tellSealed(checkpoint: CheckpointName): void {
    const name = nameOf(checkpoint);
    const committed = this.#sealing.get(name)?.groups ?? [];
    this.#sealing.delete(name);
    this.#flush(checkpoint.stream, committed);
  }

  #watchWriter(writer: StreamWriter, stream: number): StreamWriter {
    let arrivals = new Arrivals();
    return {
      write: (batch) => {
        arrivals.add(Date.now());
        const written = this.#measure(stream, () => writer.write(batch));
        if (performance.now() - this.#toldAt > TELL_MS) this.#flush();
        return written;
      },
      seal: (stamp) => {
        this.#sealing.set(nameOf(stamp), arrivals);
        arrivals = new Arrivals();
        return this.#measure(stream, () => writer.seal(stamp));
      },
      discard: () => {
        arrivals = new Arrivals();
        return writer.discard();
      },
      abandon: () => writer.abandon(),
    };
  }

  /** What is done before the call returns is encoding; what it then waits for is the place that it writes to. */
  #measure<Result>(stream: number, work: () => Result): Result {
    const times = this.#timesOf(stream);
    const began = performance.now();
    const working = work();
    const returned = performance.now();
    times.encoding += returned - began;
    if (working instanceof Promise) {
      const note = (): void => {
        times.uploading += performance.now() - returned;
      };
      working.then(note, note);
    }
    return working;
  }

  #timesOf(stream: number): WriteTimes {
    let times = this.#times.get(stream);
    if (!times) {
      times = { encoding: 0, uploading: 0 };
      this.#times.set(stream, times);
    }
    return times;
  }

  #flush(
    sealed: number | null = null,
    committed: WriteMeasured["committed"] = [],
  ): void {
    this.#toldAt = performance.now();
    if (sealed !== null) this.#timesOf(sealed);
    for (const [stream, times] of this.#times) {
      const { encoding, uploading } = times;
      if (stream !== sealed && encoding + uploading === 0) continue;
      this.#tell({
        type: "measured",
        stream,
        encodingMs: encoding,
        uploadingMs: uploading,
        committed: stream === sealed ? committed : [],
      });
      // kept: a wait that is under way adds to it
      times.encoding = 0;
      times.uploading = 0;
    }
  }
}
