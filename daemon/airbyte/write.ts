/**
 * `write` of a destination executable: an ordinary run, from the messages that a platform gives us to a destination of
 * ours. States go back on stdout, each once all that it covers is durable and in the ledger.
 *
 * A write that ended early is gone on with by the next one of the same streams and generations: what its states covered
 * counts, and what was behind them is dropped, since it comes again.
 */
import { parseExact, toCount } from "../../connectors/airbyte/exact-json.ts";
import {
  namespaceOf,
  readConfiguredCatalog,
  type AirbyteConfiguredStream,
} from "../../connectors/airbyte/messages.ts";
import { toAirbyteUrl } from "../../connectors/sources/airbyte/url.ts";
import type { StateGroupWire } from "../../proto/control.ts";
import { ExtractError } from "../../proto/error.ts";
import {
  requestDefaults,
  type SyncMode,
  type SyncRequest,
} from "../request.ts";
import type { RunMessages } from "../run-messages.ts";
import { startRun } from "../sync.ts";
import { keyOf } from "./configured-streams.ts";
import { readDataChannel, type DataChannel } from "./data-channel.ts";
import { planDestination, type DestinationPlan } from "./destination-specs.ts";
import type { DestinationExecutable } from "./executable.ts";
import { placeInThisProcess } from "./placement.ts";
import { awaitRun, tellEnd } from "./run-end.ts";
import { describeLog, writeMessage } from "./stdout.ts";

/** Whoever listens on our sockets starts with us, or long after. */
const START_SECONDS_MAX = 15 * 60;
/** A source may look for its next record for so long. */
const SILENCE_SECONDS_MAX = 24 * 3_600;

export interface WriteInput {
  readonly kind: DestinationExecutable;
  /** As the platform gave them. */
  readonly config: unknown;
  readonly catalog: unknown;
}

/** Gives the exit code. What goes wrong on the way is told as the protocol wants it. */
export async function runWrite(
  { kind, config, catalog }: WriteInput,
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  const plan = planDestination(kind, config);
  const channel = readDataChannel(env);
  const { streams } = readConfiguredCatalog(catalog);
  const choices = new Map(
    streams.map((one) => [keyOf(nameOf(one)), modeOf(one, plan)]),
  );
  if (streams.length === 0) return 0;
  Object.assign(process.env, plan.env);
  const placement = placeInThisProcess();
  let told = Promise.resolve();
  const tell = (message: object | string): void => {
    told = told.then(() => writeMessage(message));
  };
  const run = startRun(
    describeRequest(plan, streams, catalog, channel),
    (event) => {
      if (event.type === "warning") tell(describeLog("WARN", event.message));
    },
    {
      placement,
      messages: describeChoices(choices),
      onSourceStates: (groups) => {
        for (const message of groups.flatMap(describeStates)) tell(message);
      },
    },
  );
  const { summary, isStopped } = await awaitRun(run, placement);
  await told;
  return tellEnd(summary, isStopped, () => null);
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
  { modes }: DestinationPlan,
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

function describeRequest(
  plan: DestinationPlan,
  streams: readonly AirbyteConfiguredStream[],
  catalog: unknown,
  channel: DataChannel,
): SyncRequest {
  const version = streams.map((one) => [
    one.stream.namespace ?? null,
    one.stream.name,
    one.generation_id ?? null,
    one.minimum_generation_id ?? null,
  ]);
  return {
    ...requestDefaults,
    // whoever writes, it is the same sync: what it has written is its own
    name: "airbyte-write",
    source: {
      url: toAirbyteUrl({
        ...plan.records,
        configured: catalog as Record<string, unknown>,
        startDeadline: START_SECONDS_MAX,
        silenceDeadline: SILENCE_SECONDS_MAX,
        input:
          channel.medium === "stdio"
            ? { kind: "stdin" }
            : {
                kind: "sockets",
                paths: [...channel.paths],
                format: formatOf(channel.format),
              },
      }),
      version: JSON.stringify(version),
    },
    destination: plan.destination,
    format: plan.format,
    naming: { ...requestDefaults.naming, unnamed: plan.unnamed },
    mode: "full-refresh-append",
    // there is one stdin, and it cannot be read again
    attemptsMax: 1,
    checkpointEverySeconds: plan.checkpointEverySeconds,
    unrepresentable: plan.unrepresentable,
    ledgerPath: plan.ledgerPath,
  };
}

function formatOf(
  format: "jsonl" | "protobuf" | "columnar",
): "JSONL" | "PROTOBUF" | "COLUMNAR" {
  return format === "jsonl"
    ? "JSONL"
    : format === "protobuf"
      ? "PROTOBUF"
      : "COLUMNAR";
}

function describeChoices(choices: ReadonlyMap<string, SyncMode>): RunMessages {
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

/** Each state as it came, with what has become durable of it. */
function describeStates({ bodies }: StateGroupWire): object[] {
  return bodies.map(({ body, rows }) => {
    const state = parseExact(body) as { readonly sourceStats?: object };
    const stats = { recordCount: toCount(rows) };
    return {
      type: "STATE",
      state: {
        ...state,
        ...(state.sourceStats
          ? { sourceStats: { ...state.sourceStats, ...stats } }
          : {}),
        destinationStats: stats,
      },
    };
  });
}
