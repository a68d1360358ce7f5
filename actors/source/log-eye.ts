/**
 * The eye on a log that is followed, and where the run stands in it: what the worker has told of, and what of that the
 * ledger has.
 */
import type { LogWatch } from "../../connectors/sources/source.ts";
import type {
  SourceFact,
  SourceLogSettings,
  SourceOrder,
} from "../../proto/control.ts";
import type { LogMeasure } from "../../proto/log-budget.ts";

type LogOrder = Extract<SourceOrder, { type: "source.log" }>;
type Group = Extract<SourceFact, { type: "log.checkpoint" }>;

/** An engine that lives tells of another place with every checkpoint where there is any. */
const SILENT_MS_MIN = 15_000;
const SILENT_CHECKPOINTS = 2;

export class LogEye {
  readonly #watch: LogWatch;
  readonly #identity: string;
  readonly #silentMs: number;
  #waiting: Pick<Group, "group" | "position">[] = [];
  #position: string;
  #told: string | null;
  #toldAt = performance.now();

  constructor(
    watch: LogWatch,
    { identity, from }: Pick<LogOrder, "identity" | "from">,
    { checkpointEveryMs }: Pick<SourceLogSettings, "checkpointEveryMs">,
  ) {
    this.#watch = watch;
    this.#identity = identity;
    this.#position = from.position;
    this.#told = from.offset;
    this.#silentMs = Math.max(
      SILENT_MS_MIN,
      SILENT_CHECKPOINTS * checkpointEveryMs,
    );
  }

  noteTold({ group, position, offset }: Group): void {
    this.#waiting.push({ group, position });
    if (offset === null) return;
    this.#told = offset;
    this.#toldAt = performance.now();
  }

  /** The ledger has it. */
  noteCommitted(upTo: number): void {
    const open = this.#waiting.findIndex(({ group }) => group > upTo);
    const done = this.#waiting.splice(
      0,
      open < 0 ? this.#waiting.length : open,
    );
    this.#position = done.at(-1)?.position ?? this.#position;
  }

  measure(): Promise<LogMeasure> {
    return this.#watch.measure({
      identity: this.#identity,
      position: this.#position,
      told: this.#told,
      isSilent: performance.now() - this.#toldAt > this.#silentMs,
    });
  }

  drop(): Promise<void> {
    return this.#watch.drop();
  }

  close(): Promise<void> {
    return this.#watch.close();
  }
}
