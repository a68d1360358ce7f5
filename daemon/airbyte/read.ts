/** `read` of a source executable: an ordinary run, from our source to a destination that is our own output. */
import {
  readConfiguredCatalog,
  readStates,
} from "../../connectors/airbyte/messages.ts";
import { startRun } from "../sync.ts";
import { readConfiguredStreams } from "./configured-streams.ts";
import { readDataChannel } from "./data-channel.ts";
import { placeInThisProcess } from "./placement.ts";
import { ReadMessages } from "./read-messages.ts";
import {
  CONNECT_MS_MAX,
  describeOver,
  describeRead,
  inFolder,
} from "./read-run.ts";
import { ReadSockets } from "./read-sockets.ts";
import { awaitRun, tellEnd } from "./run-end.ts";
import type { SourceConfig } from "./source-config.ts";
import { describeStatus, writeMessage } from "./stdout.ts";

export interface ReadInput {
  readonly config: SourceConfig;
  /** As the platform gave them. */
  readonly catalog: unknown;
  readonly state: unknown;
}

/** Gives the exit code. What goes wrong on the way is told as the protocol wants it. */
export async function runRead(
  { config, catalog, state }: ReadInput,
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  const channel = readDataChannel(env);
  const states = readStates(state);
  const { log } = config;
  const streams = readConfiguredStreams(
    readConfiguredCatalog(catalog),
    states,
    config.cursorLagSeconds,
    log !== null,
  );
  if (log !== null) {
    const { runChangeRead } = await import("./read-changes.ts");
    return runChangeRead({
      config: { ...config, log },
      ...{ channel, streams, states },
    });
  }
  const open = streams.filter((one) => one.state?.kind !== "done");
  const over = describeOver(streams.filter((one) => !open.includes(one)));
  if (open.length === 0) {
    for (const message of over) await writeMessage(message);
    if (channel.medium === "stdio") return 0;
    const sockets = await ReadSockets.open(channel, CONNECT_MS_MAX);
    await sockets.write(over);
    await sockets.end(true);
    return 0;
  }
  const isSocket = channel.medium === "sockets";
  let told = Promise.resolve();
  const messages = new ReadMessages({
    streams: open,
    namesPartitions: isSocket,
    // of the records only the destination hears; of everything else the platform does as well
    onMessage: isSocket
      ? (message) => {
          told = told.then(() => writeMessage(message));
        }
      : null,
  });
  for (const message of over) messages.waiting.add(message);
  return inFolder(async (folder) => {
    const placement = placeInThisProcess();
    const run = startRun(
      describeRead(
        config,
        open,
        {
          channel: isSocket ? { ...channel, count: 0 } : channel,
          deadlines: { connectMs: CONNECT_MS_MAX },
        },
        folder,
      ),
      (event) => {
        if (event.type === "warning") messages.waiting.warn(event.message);
      },
      { placement, messages },
    );
    const { summary, isStopped } = await awaitRun(run, placement);
    await told;
    for (const message of messages.waiting.take()) await writeMessage(message);
    return tellEnd(summary, isStopped, (stream) =>
      describeStatus(stream, "INCOMPLETE"),
    );
  });
}
