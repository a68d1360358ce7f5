/**
 * What an earlier write has begun and a later one was not asked for: its rows are durable, their states have gone back,
 * and whoever has these does not send the rows again. A run that wants other streams would throw them away; so they are
 * brought to their end first, by a run without records.
 */
import { existsSync } from "node:fs";
import { Ledger } from "../../checkpoint/store/ledger.ts";
import { isPostgresLedger } from "../../checkpoint/store/postgres-url.ts";
import { readConfiguredCatalog } from "../../connectors/airbyte/messages.ts";
import { readSettings } from "../../connectors/sources/airbyte/config.ts";
import { toAirbyteUrl } from "../../connectors/sources/airbyte/url.ts";
import { defaultLedgerPath, nameDestination } from "../destinations.ts";
import {
  fingerprintRequest,
  identifySync,
  recordRequest,
} from "../identity.ts";
import type { SyncMode, SyncRequest } from "../request.ts";
import type { DestinationPlan } from "./destination-specs.ts";
import { chooseModes } from "./write-modes.ts";

export interface UnsettledWrite {
  readonly request: SyncRequest;
  readonly choices: ReadonlyMap<string, SyncMode>;
}

/**
 * Null: nothing was left, or the request goes on with it. Streams that replace what is there are not settled: a part of
 * one must not take the place of the whole.
 */
export function findUnsettled(
  request: SyncRequest,
  plan: Pick<DestinationPlan, "modes">,
): UnsettledWrite | null {
  const requestJson = findUnfinished(request);
  if (requestJson === null) return null;
  const isSame =
    fingerprintRequest(requestJson) ===
    fingerprintRequest(recordRequest(request));
  if (isSame) return null;
  const before = JSON.parse(requestJson) as SyncRequest;
  const settings = readSettings(before.source.url);
  const { streams } = readConfiguredCatalog(settings.configured);
  const added = streams.filter((one) =>
    [...chooseModes([one], plan).values()].every(
      (mode) => mode !== "full-refresh-overwrite",
    ),
  );
  if (added.length === 0) return null;
  const { input } = settings;
  const lanes = input?.kind === "sockets" ? input.paths.length : 1;
  return {
    request: {
      ...before,
      // what is written down of it has no password
      destination: request.destination,
      ledgerPath: request.ledgerPath,
      source: {
        ...before.source,
        url: toAirbyteUrl({
          ...settings,
          configured: { ...settings.configured, streams: added },
          input: { kind: "nothing", lanes },
        }),
      },
    },
    choices: chooseModes(added, plan),
  };
}

/** The request of the sync's last run, if it has not come to its end. */
function findUnfinished(request: SyncRequest): string | null {
  const path =
    request.ledgerPath ??
    defaultLedgerPath(nameDestination(request.destination));
  if (!isPostgresLedger(path) && !existsSync(path)) return null;
  const ledger = Ledger.open(path, { create: true });
  try {
    return ledger.findUnfinishedRun(identifySync(request))?.requestJson ?? null;
  } finally {
    ledger.close();
  }
}
