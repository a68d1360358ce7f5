/** What a held run finds its tables to have become, and what that means for its sync. */
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import type { QueuedRun } from "../../checkpoint/store/queue.ts";
import type { RunEvent, RunSummary } from "../request.ts";
import type { CatalogueSync } from "./catalogue.ts";
import {
  describePause,
  explainPause,
  settleAgreement,
  type SchemaChanged,
} from "./schema-pause.ts";
import { isWhole, readScope } from "./scope.ts";

export class SchemaWatch {
  readonly #ledger: Ledger;
  readonly #sync: CatalogueSync;
  readonly #entry: QueuedRun;
  readonly #onPaused: (why: string) => void;
  readonly #changes: SchemaChanged[] = [];

  constructor(
    ledger: Ledger,
    sync: CatalogueSync,
    entry: QueuedRun,
    onPaused: (why: string) => void,
  ) {
    this.#ledger = ledger;
    this.#sync = sync;
    this.#entry = entry;
    this.#onPaused = onPaused;
  }

  note(event: RunEvent): void {
    if (event.type === "schema.changed") this.#changes.push(event);
  }

  /** Before the entry is settled: a crash in between finds the sync paused, and its entry waiting. */
  settle(summary: RunSummary): void {
    const { name, request } = this.#sync;
    // of a run that will go on nothing is decided: its next attempt looks at its tables again
    const isOver = summary.state !== "interrupted";
    const pause =
      isOver && request.schemaChanges === "pause"
        ? describePause(summary.runId, this.#changes)
        : null;
    const ledger = this.#ledger;
    ledger.transaction(() => {
      const isOfAll = isWhole(readScope(this.#entry.scopeJson));
      settleAgreement(ledger, name, summary, isOfAll);
      if (pause === null) return;
      ledger.pauseSync(name, JSON.stringify(pause));
      ledger.recordDaemonEvent(name, "schema.paused", JSON.stringify(pause));
    });
    if (pause !== null) this.#onPaused(explainPause(pause));
  }
}
