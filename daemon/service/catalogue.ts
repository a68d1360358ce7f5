/** The syncs of a configuration, as the daemon begins and shows them. */
import { redactUrl } from "../../connectors/sources/url.ts";
import { ExtractError } from "../../proto/error.ts";
import { nearestNames } from "../../proto/nearest.ts";
import { describeSchedule } from "../config-daemon.ts";
import { buildRequest } from "../config-request.ts";
import type { MillraceConfig } from "../config.ts";
import { nameDestination } from "../destinations.ts";
import { identifySync } from "../identity.ts";
import type { SyncRequest } from "../request.ts";

export interface CatalogueSync {
  readonly name: string;
  readonly syncId: string;
  readonly request: SyncRequest;
  /** Without secrets. */
  readonly source: string;
  readonly destination: string;
  readonly schedule: string | null;
}

export class SyncCatalogue {
  readonly #syncs: ReadonlyMap<string, CatalogueSync>;
  readonly #file: string;

  constructor({ syncs, schedules, file }: MillraceConfig) {
    this.#file = file;
    this.#syncs = new Map(
      [...syncs].map(([name, settings]) => {
        const request = buildRequest(settings);
        const schedule = schedules.get(name);
        return [
          name,
          {
            name,
            request,
            syncId: identifySync(request),
            source: redactUrl(request.source.url),
            destination: nameDestination(request.destination),
            schedule: schedule ? describeSchedule(schedule) : null,
          },
        ];
      }),
    );
  }

  list(): readonly CatalogueSync[] {
    return [...this.#syncs.values()];
  }

  find(name: string): CatalogueSync | null {
    return this.#syncs.get(name) ?? null;
  }

  /** @throws ExtractError SYNC_NOT_FOUND with the nearest name */
  get(name: string): CatalogueSync {
    const found = this.#syncs.get(name);
    if (found) return found;
    const shown = name.slice(0, 100);
    const nearest = nearestNames(shown, [...this.#syncs.keys()])[0];
    throw new ExtractError(
      "SYNC_NOT_FOUND",
      `${this.#file} holds no sync '${shown}'${nearest === undefined ? "" : `; did you mean ${nearest}?`}`,
      { sync: shown },
    );
  }

  /** @throws ExtractError SYNC_NOT_FOUND where the run's sync is no longer configured, or writes to another place now */
  getById(syncId: string, runId: string): CatalogueSync {
    const found = this.list().find((sync) => sync.syncId === syncId);
    if (found) return found;
    throw new ExtractError(
      "SYNC_NOT_FOUND",
      `the sync of run ${runId} is not in ${this.#file}, or has another destination there`,
      { run: runId },
    );
  }
}
