/**
 * `write` of a destination executable: an ordinary run, from the messages that a platform gives us to a destination of
 * ours. States go back on stdout, each once all that it covers is durable and in the ledger.
 *
 * A write that ended early is gone on with by the next one of the same streams and generations: what its states covered
 * counts, and what was behind them is dropped, since it comes again.
 */
import { parseExact, toCount } from "../../connectors/airbyte/exact-json.ts";
import {
  readConfiguredCatalog,
  type AirbyteConfiguredStream,
} from "../../connectors/airbyte/messages.ts";
import { toAirbyteUrl } from "../../connectors/sources/airbyte/url.ts";
import type { StateGroupWire } from "../../proto/control.ts";
import { ExtractError, fromWireError } from "../../proto/error.ts";
import { requestDefaults, type SyncRequest } from "../request.ts";
import type { RunMessages } from "../run-messages.ts";
import { startRun } from "../sync.ts";
import { readDataChannel, type DataChannel } from "./data-channel.ts";
import { planDestination, type DestinationPlan } from "./destination-specs.ts";
import type { DestinationExecutable } from "./executable.ts";
import { keyOf } from "./configured-streams.ts";
import { KeptLedger } from "./kept-ledger.ts";
import { placeInThisProcess } from "./placement.ts";
import {
  describeGenerations,
  findCommitted,
  lookIntoLedger,
} from "./platform-generations.ts";
import { awaitRun, tellEnd } from "./run-end.ts";
import { findUnsettled, type UnsettledWrite } from "./settle-write.ts";
import { describeLog, writeMessage } from "./stdout.ts";
import { chooseModes, describeChoices, nameOf } from "./write-modes.ts";

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
  const { streams } = readConfiguredCatalog(catalog);
  // whether it can be done at all, before anything is looked at
  chooseModes(streams, plan);
  if (streams.length === 0) return 0;
  Object.assign(process.env, plan.env);
  const kept =
    plan.keepsLedger && plan.destination.kind === "s3"
      ? await KeptLedger.open(plan.destination)
      : null;
  try {
    return await runKept({ plan, streams, catalog, env }, kept);
  } finally {
    kept?.close();
  }
}

interface WriteOrder {
  readonly plan: DestinationPlan;
  readonly streams: readonly AirbyteConfiguredStream[];
  readonly catalog: unknown;
  readonly env: NodeJS.ProcessEnv;
}

/** @param kept null: the ledger lies where it stays */
async function runKept(
  { plan, streams, catalog, env }: WriteOrder,
  kept: KeptLedger | null,
): Promise<number> {
  const request = describeRequest(plan, streams, catalog, {
    channel: readDataChannel(env),
    staging: env["AIRBYTE_STAGING_DIRECTORY"],
    kept,
  });
  const unsettled = findUnsettled(request, plan);
  if (unsettled !== null) await settle(unsettled, kept);
  const committed = lookIntoLedger(request, (ledger, syncId) =>
    findCommitted(ledger, syncId, streams.map(nameOf)),
  );
  const choices = chooseModes(streams, plan, committed ?? new Map());
  const placement = placeInThisProcess();
  let told = Promise.resolve();
  /** In their order; what goes wrong on the way ends the run. */
  const follow = (work: () => Promise<void> | void): void => {
    told = told.then(work);
    told.catch(() => run.abort());
  };
  const tell = (message: object | string): void =>
    follow(() => writeMessage(message));
  let isKept = false;
  const messages: RunMessages = {
    ...describeChoices(choices),
    keep: async () => kept?.keep(),
    begun: () => {
      if (kept === null || isKept) return [];
      isKept = true;
      follow(async () => {
        await kept.keep();
        kept.openGate();
      });
      return [];
    },
  };
  const run = startRun(
    request,
    (event) => {
      if (event.type === "warning") tell(describeLog("WARN", event.message));
    },
    {
      placement,
      messages,
      onSourceStates: (groups) => {
        const states = groups.flatMap(describeStates);
        if (states.length === 0) return;
        if (kept !== null) follow(() => kept.keep());
        // at once: of those that a kill cuts off the rows come again
        tell(states.map((state) => JSON.stringify(state)).join("\n"));
      },
    },
  );
  const { summary, isStopped } = await awaitRun(run, placement);
  await told;
  try {
    await kept?.keep();
  } catch (error) {
    // of a run that has failed the one that was kept before knows all that was told
    if (summary.exitCode === 0) throw error;
  }
  return tellEnd(summary, isStopped, () => null);
}

/** @throws ExtractError of the run: what was given back would be lost */
async function settle(
  { request, choices }: UnsettledWrite,
  kept: KeptLedger | null,
): Promise<void> {
  const placement = placeInThisProcess();
  const run = startRun(request, () => {}, {
    placement,
    messages: {
      ...describeChoices(choices),
      keep: async () => kept?.keep(),
    },
    onSourceStates: () => {},
  });
  const { summary } = await awaitRun(run, placement);
  const failed = summary.streams.find(
    ({ namespace, name, state }) =>
      choices.has(keyOf({ namespace, name })) && state !== "committed",
  );
  const error = failed?.error ?? (failed ? summary.error : null);
  if (!failed && summary.streams.length > 0) return;
  if (error !== null) throw fromWireError(error);
  throw new ExtractError(
    "DESTINATION_FAILED",
    "an earlier write of other streams could not be brought to its end",
  );
}

function describeRequest(
  plan: DestinationPlan,
  streams: readonly AirbyteConfiguredStream[],
  catalog: unknown,
  {
    channel,
    staging,
    kept,
  }: {
    readonly channel: DataChannel;
    readonly staging: string | undefined;
    readonly kept: KeptLedger | null;
  },
): SyncRequest {
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
        stagingDirectory: staging,
        input:
          channel.medium === "stdio"
            ? { kind: "stdin", after: kept?.gatePath }
            : {
                kind: "sockets",
                after: kept?.gatePath,
                paths: [...channel.paths],
                format: formatOf(channel.format),
              },
      }),
      version: describeGenerations(streams),
    },
    destination: plan.destination,
    format: plan.format,
    naming: { ...requestDefaults.naming, unnamed: plan.unnamed },
    mode: "full-refresh-append",
    // there is one stdin, and it cannot be read again
    attemptsMax: 1,
    checkpointEverySeconds: plan.checkpointEverySeconds,
    unrepresentable: plan.unrepresentable,
    ledgerPath: kept?.path ?? plan.ledgerPath,
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
