/** How a configured catalog wants each of its streams written. */
import {
  namespaceOf,
  type AirbyteConfiguredStream,
} from "../../connectors/airbyte/messages.ts";
import { ExtractError } from "../../proto/error.ts";
import type { SyncMode } from "../request.ts";
import type { RunMessages } from "../run-messages.ts";
import { keyOf } from "./configured-streams.ts";
import type { DestinationPlan } from "./destination-specs.ts";

/**
 * By `keyOf`.
 * @param committed of which of the platform's generations each stream's copy is
 * @throws ExtractError USAGE for a mode that this destination does not have
 */
export function chooseModes(
  streams: readonly AirbyteConfiguredStream[],
  plan: Pick<DestinationPlan, "modes">,
  committed: ReadonlyMap<string, number> = new Map(),
): ReadonlyMap<string, SyncMode> {
  return new Map(
    streams.map((one) => {
      const key = keyOf(nameOf(one));
      const mode = modeOf(one, plan);
      // what comes of a generation that is there belongs to it
      const goesOn =
        mode === "full-refresh-overwrite" &&
        hasGenerations(one) &&
        committed.get(key) === one.generation_id;
      return [key, goesOn ? "full-refresh-append" : mode];
    }),
  );
}

export function nameOf({ stream }: AirbyteConfiguredStream): {
  readonly namespace: string;
  readonly name: string;
} {
  return { namespace: namespaceOf(stream) ?? "", name: stream.name };
}

/** @throws ExtractError USAGE for a mode that this destination does not have */
function modeOf(
  configured: AirbyteConfiguredStream,
  { modes }: Pick<DestinationPlan, "modes">,
): SyncMode {
  const { destination_sync_mode: mode, stream } = configured;
  if (!modes.includes(mode))
    throw new ExtractError(
      "USAGE",
      `${stream.name} is to be written by ${mode}; this destination does ${modes.join(", ")}`,
      { stream: stream.name },
    );
  const isRefresh = hasGenerations(configured);
  if (mode === "overwrite" || (isRefresh && mode === "append"))
    return "full-refresh-overwrite";
  return mode === "append_dedup"
    ? "incremental-append-dedupe"
    : "full-refresh-append";
}

/** Whether whatever is of older generations goes, and nothing else does. */
function hasGenerations({
  generation_id: generation,
  minimum_generation_id: least,
}: AirbyteConfiguredStream): boolean {
  return typeof least === "number" && least > 0 && least === generation;
}

export function describeChoices(
  choices: ReadonlyMap<string, SyncMode>,
): RunMessages {
  return {
    columns: [],
    failsWhole: true,
    choiceOf: (stream) => {
      const mode = choices.get(keyOf(stream));
      return mode === undefined ? null : { mode, cursor: null };
    },
    planOf: () => null,
    cursorOf: () => null,
    begun: () => [],
    recorded: () => [],
    complete: () => [],
  };
}
