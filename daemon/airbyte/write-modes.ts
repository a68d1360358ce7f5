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

/** By `keyOf`. @throws ExtractError USAGE for a mode that this destination does not have */
export function chooseModes(
  streams: readonly AirbyteConfiguredStream[],
  plan: Pick<DestinationPlan, "modes">,
): ReadonlyMap<string, SyncMode> {
  return new Map(streams.map((one) => [keyOf(nameOf(one)), modeOf(one, plan)]));
}

function nameOf({ stream }: AirbyteConfiguredStream): {
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
  const { generation_id: generation, minimum_generation_id: least } =
    configured;
  if (!modes.includes(mode))
    throw new ExtractError(
      "USAGE",
      `${stream.name} is to be written by ${mode}; this destination does ${modes.join(", ")}`,
      { stream: stream.name },
    );
  // a refresh: whatever is of older generations goes
  const isRefresh =
    typeof least === "number" && least > 0 && least === generation;
  if (mode === "overwrite" || (isRefresh && mode === "append"))
    return "full-refresh-overwrite";
  return mode === "append_dedup"
    ? "incremental-append-dedupe"
    : "full-refresh-append";
}

export function describeChoices(
  choices: ReadonlyMap<string, SyncMode>,
): RunMessages {
  return {
    columns: [],
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
