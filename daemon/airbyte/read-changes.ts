/**
 * `read` of a source executable that captures changes: an ordinary run in mode `cdc` for the incremental streams, and
 * behind it one for those that are to be read whole. States are GLOBAL, whichever run they come from.
 */
import { randomBytes } from "node:crypto";
import type { LogNames } from "../../checkpoint/store/logs.ts";
import type { AirbyteState } from "../../connectors/airbyte/messages.ts";
import { airbyteDestinationDefaults } from "../../connectors/destinations/airbyte/config.ts";
import {
  errorCodes,
  ExtractError,
  toWireError,
  type WireError,
} from "../../proto/error.ts";
import { askDoctor } from "../ask-doctor.ts";
import { buildBudget, logDefaults } from "../log-request.ts";
import type { RunEvent, SyncRequest } from "../request.ts";
import { startRun } from "../sync.ts";
import { ChangeMessages, type ReadPlace } from "./change-messages.ts";
import { keyOf, type ConfiguredStream } from "./configured-streams.ts";
import type { DataChannel } from "./data-channel.ts";
import { placeInThisProcess } from "./placement.ts";
import {
  CONNECT_MS_MAX,
  describeOver,
  describeRead,
  inFolder,
} from "./read-run.ts";
import { ReadSockets } from "./read-sockets.ts";
import { awaitRun, tellEnd } from "./run-end.ts";
import { parseSharedState } from "./shared-state.ts";
import type { LogConfig, SourceConfig } from "./source-config.ts";
import { describeStatus, writeMessage } from "./stdout.ts";

/** Over stdio rows of the copy and changes take turns, each until its next state: neither waits for the other for long. */
const TURN_SECONDS_MAX = 10;
const LOG_TURN_SECONDS_MAX = 2;
const NAME_BYTES = 12;

export interface ChangeReadInput {
  readonly config: SourceConfig & { readonly log: LogConfig };
  readonly channel: DataChannel;
  readonly streams: readonly ConfiguredStream[];
  readonly states: readonly AirbyteState[];
}

/** What the runs of one read have in common. */
interface Read {
  readonly config: SourceConfig;
  readonly place: ReadPlace;
  /** Null: everything goes by stdout. */
  readonly sockets: ReadSockets | null;
  readonly format: "jsonl" | "protobuf";
}

/** Gives the exit code. @throws ExtractError STATE_INCOMPATIBLE, ENGINE_UNAVAILABLE, USAGE */
export async function runChangeRead({
  config,
  channel,
  streams,
  states,
}: ChangeReadInput): Promise<number> {
  const format = channel.medium === "stdio" ? "jsonl" : channel.format;
  if (format === "columnar")
    throw new ExtractError(
      "USAGE",
      "DATA_CHANNEL_FORMAT is COLUMNAR, which has no place for what is said of a change; it may be JSONL or PROTOBUF",
      { name: "DATA_CHANNEL_FORMAT" },
    );
  const shared = parseSharedState(states);
  const followed = streams.filter(({ choice }) => choice.mode === "cdc");
  const names = nameLog(config.log, shared.log);
  if (followed.length > 0) await checkMachine();
  const place: ReadPlace = {
    shared: followed.length > 0 ? shared : { log: null, entry: null },
    streams: new Map(
      streams.flatMap(({ state, namespace, name }) =>
        state === null
          ? []
          : [[keyOf({ namespace, name }), { namespace, name, state }]],
      ),
    ),
    started: new Set(),
    states: 0,
  };
  const sockets =
    channel.medium === "stdio"
      ? null
      : await ReadSockets.open(channel, CONNECT_MS_MAX);
  const read: Read = { config, place, sockets, format };
  let isAwaited = false;
  try {
    const parts = partStreams(followed, place);
    for (const part of parts) {
      const isLast = part === parts.at(-1);
      const code = await readPart(read, part, names, isLast);
      if (code !== 0) return code;
    }
    const whole = streams.filter((one) => !followed.includes(one));
    const open = whole.filter(({ state }) => state?.kind !== "done");
    const over = describeOver(whole.filter((one) => !open.includes(one)));
    for (const message of over) await writeMessage(message);
    await sockets?.write(over);
    if (open.length > 0) return await readPart(read, open, null);
    isAwaited = parts.length === 0;
    return 0;
  } finally {
    await sockets?.end(isAwaited);
  }
}

/**
 * Tables that come to the log do so in one place: those of a read that was cut before the others, which come where the
 * log stands afterwards.
 */
function partStreams(
  followed: readonly ConfiguredStream[],
  { shared }: ReadPlace,
): readonly (readonly ConfiguredStream[])[] {
  if (followed.length === 0) return [];
  const known = followed.filter(({ state }) => state !== null);
  const isCut = shared.entry !== null && known.length < followed.length;
  return isCut ? [known, followed] : [followed];
}

/** @throws ExtractError STATE_INCOMPATIBLE */
function nameLog(
  { slot, publication }: LogConfig,
  known: LogNames | null,
): LogNames {
  if (known !== null && slot !== null && known.slot !== slot)
    throw new ExtractError(
      "STATE_INCOMPATIBLE",
      `the state goes on with the replication slot ${known.slot}, and the configuration names ${slot}: name the one before, or clear the state, and every stream is read from its beginning`,
      { slot },
    );
  if (known !== null) return known;
  // a server of MySQL makes nothing of it: it tells readers of its log apart by it
  const drawn = `millrace_${randomBytes(NAME_BYTES).toString("hex")}`;
  return { slot: slot ?? drawn, publication: publication ?? slot ?? drawn };
}

/** Before anything is made at the source. @throws ExtractError ENGINE_UNAVAILABLE */
async function checkMachine(): Promise<void> {
  const { machine } = await askDoctor({ url: null, tables: [], exclude: [] });
  const missing = machine.filter(({ state }) => state === "missing");
  if (missing.length === 0) return;
  throw new ExtractError(
    "ENGINE_UNAVAILABLE",
    `changes are captured by Debezium, which needs more than there is: ${missing
      .map(
        ({ name, detail, remedy }) =>
          `${name} (${detail}${remedy === null ? "" : `; ${remedy}`})`,
      )
      .join("; ")}`,
    {},
  );
}

async function readPart(
  read: Read,
  streams: readonly ConfiguredStream[],
  names: LogNames | null,
  isLast = true,
): Promise<number> {
  const { place, sockets } = read;
  let told = Promise.resolve();
  const messages = new ChangeMessages({
    ...{ streams, place, names, namesPartitions: sockets !== null },
    onMessage:
      sockets &&
      ((message) => {
        told = told.then(() => writeMessage(message));
      }),
  });
  let failure: WireError | null = null;
  return inFolder(async (folder) => {
    const placement = placeInThisProcess();
    const run = startRun(
      describeRequest(read, streams, names !== null, folder),
      (event) => {
        const warning = findWarning(event);
        if (warning !== null) messages.waiting.warn(warning);
        // rows of it that no state covers are in front of every state that could follow
        if (event.type === "stream.finished" && event.summary.error !== null) {
          failure ??= event.summary.error;
          run.abort();
        }
      },
      { placement, messages },
    );
    const passOn = sockets?.follow(folder, (error) => {
      failure ??= toWireError(error);
      run.abort();
    });
    const { summary, isStopped } = await awaitRun(run, placement);
    await passOn?.();
    await told;
    if (summary.exitCode === 0) {
      const rest = messages.takeEnd(isLast);
      await told;
      if (sockets) await sockets.write(rest);
      else for (const message of rest) await writeMessage(message);
      return 0;
    }
    for (const message of messages.waiting.take()) await writeMessage(message);
    for (const stream of streams)
      await writeMessage(describeStatus(stream, "INCOMPLETE"));
    const error = explain(failure ?? summary.error);
    const code = await tellEnd(
      { ...summary, error, streams: failure === null ? [] : summary.streams },
      isStopped && failure === null,
      () => null,
    );
    return failure === null ? code : Math.min(exitCodeOf(failure), 3);
  });
}

function exitCodeOf({ code }: WireError): number {
  const { exitCode } = errorCodes[code];
  // some streams failed: here the others end with them
  return exitCode === 4 ? 1 : exitCode;
}

function findWarning(event: RunEvent): string | null {
  if (event.type === "warning") return event.message;
  const isTold =
    event.type === "log.event" &&
    ["log.untold", "log.cut", "log.step"].includes(event.kind);
  return isTold ? event.message : null;
}

/** What a platform's user is to do about it. */
function explain(error: WireError | null): WireError | null {
  if (error?.code !== "SOURCE_POSITION_EXPIRED") return error;
  return {
    ...error,
    message: `${error.message}; nothing was passed over. Clear the state of all streams (refresh or reset the connection): the next read begins a new log and copies every table again`,
  };
}

function describeRequest(
  { config, place, sockets, format }: Read,
  streams: readonly ConfiguredStream[],
  isLogged: boolean,
  folder: string,
): SyncRequest {
  const seconds = config.checkpointEverySeconds;
  const isInTurns = isLogged && sockets === null;
  const paths = sockets?.pathsIn(folder) ?? null;
  const request = describeRead(
    config,
    streams,
    {
      channel:
        paths === null
          ? { medium: "stdio", inTurns: true }
          : {
              ...{ medium: "sockets", format, paths, count: 0 },
              // another run may be in front of it
              partitionsOf: `${place.states}.`,
            },
      // whoever passes our bytes on names the peer
      deadlines:
        paths === null
          ? {}
          : {
              connectMs: CONNECT_MS_MAX,
              stallMs: 2 * airbyteDestinationDefaults.stallMs,
            },
    },
    folder,
  );
  return {
    ...request,
    mode: isLogged ? "cdc" : "full-refresh-append",
    checkpointEverySeconds: isInTurns
      ? Math.min(seconds, TURN_SECONDS_MAX)
      : seconds,
    log: {
      ...logDefaults,
      checkpointEverySeconds: isInTurns
        ? Math.min(seconds, LOG_TURN_SECONDS_MAX)
        : seconds,
      // the source forgets nothing while a read is at work, so that a copy must not wait until it does
      budget: buildBudget({ shareOf: { hurry: null, pause: null } }),
      // to copy a table again would double rows that have left: the platform's user has it refreshed
      filledColumns: "warn",
    },
  };
}
