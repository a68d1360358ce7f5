/**
 * What an earlier write has begun and a later one was not asked for: its rows are durable, their states have gone back,
 * and whoever has these does not send the rows again. A run that wants other streams would throw them away; so they are
 * brought to their end first, by a run without records.
 */
import type { StreamRecord } from "../../checkpoint/store/records.ts";
import {
  namespaceOf,
  readConfiguredCatalog,
} from "../../connectors/airbyte/messages.ts";
import { readSettings } from "../../connectors/sources/airbyte/config.ts";
import { toAirbyteUrl } from "../../connectors/sources/airbyte/url.ts";
import { ExtractError } from "../../proto/error.ts";
import { fingerprintRequest, recordRequest } from "../identity.ts";
import type { SyncMode, SyncRequest } from "../request.ts";
import { coveredOf } from "../source-states.ts";
import { keyOf } from "./configured-streams.ts";
import type { DestinationPlan } from "./destination-specs.ts";
import { lookIntoLedger, readGenerations } from "./platform-generations.ts";
import { chooseModes } from "./write-modes.ts";

export interface UnsettledWrite {
  readonly request: SyncRequest;
  readonly choices: ReadonlyMap<string, SyncMode>;
}

/**
 * Null: nothing was left, or the request goes on with it. Of streams that replace what is there those are settled of
 * which all has come: a part of one must not take the place of the whole.
 * @throws ExtractError STATE_INCOMPATIBLE where states were given back for a part, and the source is to go on from there
 */
export function findUnsettled(
  request: SyncRequest,
  plan: Pick<DestinationPlan, "modes">,
): UnsettledWrite | null {
  const unfinished = findUnfinished(request);
  if (unfinished === null) return null;
  const { requestJson } = unfinished;
  const isSame =
    fingerprintRequest(requestJson) ===
    fingerprintRequest(recordRequest(request));
  if (isSame) return null;
  const before = JSON.parse(requestJson) as SyncRequest;
  const settings = readSettings(before.source.url);
  const { streams } = readConfiguredCatalog(settings.configured);
  const generations = {
    before: readGenerations(before),
    now: readGenerations(request),
  };
  const added = streams.filter((one) => {
    const key = keyOf({
      namespace: namespaceOf(one.stream) ?? "",
      name: one.stream.name,
    });
    const replaces =
      chooseModes([one], plan).get(key) === "full-refresh-overwrite";
    if (!replaces || unfinished.whole.has(key)) return true;
    const generation = generations.before.get(key);
    if (
      unfinished.told.has(key) &&
      generation !== undefined &&
      generations.now.get(key) === generation
    )
      throw new ExtractError(
        "STATE_INCOMPATIBLE",
        `${one.stream.name} was cut in the middle of its generation ${generation}, and states were given back for a part of it; the catalog has changed since, and what was written cannot be gone on with: give the catalog as it was until the stream is complete, or refresh the stream, which begins a new generation`,
        { stream: one.stream.name },
      );
    return false;
  });
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

interface UnfinishedWrite {
  readonly requestJson: string;
  /** Streams by `keyOf`: those of which all has come, and those for a part of which states have gone back. */
  readonly whole: ReadonlySet<string>;
  readonly told: ReadonlySet<string>;
}

/** The sync's last run, if it has not come to its end. */
function findUnfinished(request: SyncRequest): UnfinishedWrite | null {
  return lookIntoLedger(request, (ledger, syncId) => {
    const run = ledger.findUnfinishedRun(syncId);
    if (run === null) return null;
    const { ofStreams, ofAll } = coveredOf(ledger, run.runId);
    const streams = ledger.streamsOf(run.runId);
    const keysOf = (is: (one: StreamRecord) => boolean): Set<string> =>
      new Set(streams.filter(is).map((one) => keyOf(one)));
    return {
      requestJson: run.requestJson,
      whole: keysOf(
        ({ state }) => state === "committing" || state === "committed",
      ),
      told: keysOf(({ number }) => ofStreams.has(number) || ofAll !== null),
    };
  });
}
