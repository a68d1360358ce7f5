/**
 * When each sync last succeeded. The ledger is asked once about each, and again now and then, since another daemon may
 * share it; in between, the runs of this one tell.
 */
import type { History } from "./history.ts";

/** What the ledger said is believed for so long, in milliseconds. */
const BELIEVED_MS = 60_000;
/** Syncs whose answer has grown old, of which the ledger is asked again in one scrape. */
const ASKED_AGAIN_MAX = 50;

interface Known {
  /** Null: it never has. */
  readonly at: number | null;
  readonly askedAt: number;
}

export class SuccessTimes {
  readonly #history: Pick<History, "listRuns">;
  readonly #known = new Map<string, Known>();

  constructor(history: Pick<History, "listRuns">) {
    this.#history = history;
  }

  note(sync: string, at: number): void {
    this.#known.set(sync, { at, askedAt: performance.now() });
  }

  /** Milliseconds since the Unix epoch; for each sync that has ever succeeded. `pause` is called between two questions. */
  async list(
    syncs: readonly { readonly name: string; readonly syncId: string }[],
    pause: () => Promise<void>,
  ): Promise<{ readonly name: string; readonly at: number }[]> {
    const found: { name: string; at: number }[] = [];
    let asked = 0;
    for (const { name, syncId } of syncs) {
      const now = performance.now();
      let known = this.#known.get(name);
      const isOld = known !== undefined && now - known.askedAt > BELIEVED_MS;
      if (known === undefined || (isOld && asked < ASKED_AGAIN_MAX)) {
        if (isOld) asked += 1;
        const [run] = this.#history.listRuns({
          ...{ limit: 1, syncIds: [syncId], states: ["succeeded"] },
        });
        known = { at: run?.finishedAt ?? null, askedAt: now };
        this.#known.set(name, known);
        await pause();
      }
      if (known.at !== null) found.push({ name, at: known.at });
    }
    return found;
  }
}
