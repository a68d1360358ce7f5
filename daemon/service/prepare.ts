/** From an entry of the queue to the request that its run begins with. */
import type { RunPermit } from "../../actors/daemon/permits.ts";
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import type { QueuedRun } from "../../checkpoint/store/queue.ts";
import { ExtractError } from "../../proto/error.ts";
import { lacksSecrets, recordRequest } from "../identity.ts";
import { readRecordedRequest } from "../recorded-request.ts";
import type { SyncRequest } from "../request.ts";
import type { RunOptions } from "../sync.ts";
import type { CatalogueSync } from "./catalogue.ts";
import { fitToPermit } from "./permit.ts";
import { withAgreement } from "./schema-pause.ts";
import { narrowRequest, readScope } from "./scope.ts";
import type { TriggerOrigin } from "./types.ts";

export interface PreparedRun {
  readonly request: SyncRequest;
  readonly options: RunOptions;
}

/** @throws ExtractError TRIGGER_INVALID where a replay's secrets are not those of the present configuration */
export function prepareRun(
  ledger: Ledger,
  sync: CatalogueSync,
  entry: QueuedRun,
  permit: RunPermit,
): PreparedRun {
  const origin = JSON.parse(entry.originJson) as TriggerOrigin;
  if (origin.kind === "replay") {
    const request = fitToPermit(
      {
        ...recallRequest(ledger, sync.request, origin.ofRun),
        // once it has become a run, it is that run which is gone on with
        restart: entry.runId === null,
      },
      permit,
    );
    return {
      request: withAgreement(ledger, sync.name, request),
      options: { planOf: origin.ofRun },
    };
  }
  const request = withAgreement(
    ledger,
    sync.name,
    narrowRequest(sync.request, readScope(entry.scopeJson)),
  );
  return { request: fitToPermit(request, permit), options: {} };
}

/** What was asked for then, with the secrets of now. */
function recallRequest(
  ledger: Ledger,
  present: SyncRequest,
  ofRun: string,
): SyncRequest {
  const recorded = readRecordedRequest(ledger.findRun(ofRun));
  return {
    ...recorded,
    source: present.source,
    destination: recallDestination(recorded, present),
    mappers: recallMappers(recorded, present, ofRun),
    ledgerPath: present.ledgerPath,
    tracePath: null,
  };
}

/** The sync is the same, so the place is; how it was written to is as it was. */
function recallDestination(
  { destination: recorded }: SyncRequest,
  { destination: present }: SyncRequest,
): SyncRequest["destination"] {
  if (recorded.kind === "airbyte" && present.kind === "airbyte") return present;
  return recorded.kind === "postgres" && present.kind === "postgres"
    ? { ...recorded, url: present.url }
    : recorded;
}

function recallMappers(
  recorded: SyncRequest,
  present: SyncRequest,
  ofRun: string,
): SyncRequest["mappers"] {
  if (!lacksSecrets(recorded)) return recorded.mappers;
  const covered = (JSON.parse(recordRequest(present)) as SyncRequest).mappers;
  if (JSON.stringify(covered) === JSON.stringify(recorded.mappers))
    return present.mappers;
  throw new ExtractError(
    "TRIGGER_INVALID",
    `run ${ofRun} cannot be replayed: its mappers had other salts or keys, which are never recorded`,
    { run: ofRun },
  );
}
