/** `read` of a source executable: an ordinary run, from our source to a destination that is our own output. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  readConfiguredCatalog,
  readStates,
} from "../../connectors/airbyte/messages.ts";
import { ExtractError } from "../../proto/error.ts";
import { requestDefaults, type SyncRequest } from "../request.ts";
import { startRun } from "../sync.ts";
import { readConfiguredStreams } from "./configured-streams.ts";
import { readDataChannel, type DataChannel } from "./data-channel.ts";
import { placeInThisProcess } from "./placement.ts";
import { ReadMessages } from "./read-messages.ts";
import { awaitRun, tellEnd } from "./run-end.ts";
import { serveNothing } from "./serve-nothing.ts";
import type { SourceConfig } from "./source-config.ts";
import { describeLog, describeStatus, writeMessage } from "./stdout.ts";

/** Whoever is to connect to our sockets starts with us, or long after: as Airbyte's destinations wait for theirs. */
const CONNECT_MS_MAX = 15 * 60_000;

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
    if (channel.medium !== "stdio")
      throw new ExtractError(
        "USAGE",
        "changes are captured over stdio: leave the data channel out of the connector's metadata, or the method CDC out of its configuration",
      );
    const { runChangeRead } = await import("./read-changes.ts");
    return runChangeRead({ config: { ...config, log }, streams, states });
  }
  const open = streams.filter((one) => one.state?.kind !== "done");
  const over = streams
    .filter((one) => !open.includes(one))
    .flatMap((one) => [
      describeStatus(one, "STARTED"),
      describeStatus(one, "COMPLETE"),
    ]);
  if (open.length === 0) {
    for (const message of over) await writeMessage(message);
    if (channel.medium === "sockets")
      await serveNothing(channel, over, CONNECT_MS_MAX);
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
  for (const message of over) messages.add(message);
  const folder = mkdtempSync(join(tmpdir(), "millrace-read-"));
  try {
    const request = describeRequest(config, open, channel, folder);
    const placement = placeInThisProcess();
    const run = startRun(
      request,
      (event) => {
        if (event.type === "warning")
          messages.add(describeLog("WARN", event.message));
      },
      { placement, messages },
    );
    const { summary, isStopped } = await awaitRun(run, placement);
    await told;
    for (const message of messages.takeRest()) await writeMessage(message);
    return await tellEnd(summary, isStopped, (stream) =>
      describeStatus(stream, "INCOMPLETE"),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function describeRequest(
  config: SourceConfig,
  streams: readonly { readonly namespace: string; readonly name: string }[],
  channel: DataChannel,
  folder: string,
): SyncRequest {
  return {
    ...requestDefaults,
    source: { url: config.url },
    destination: {
      kind: "airbyte",
      connector: null,
      channel: channel.medium === "stdio" ? channel : { ...channel, count: 0 },
      deadlines: { connectMs: CONNECT_MS_MAX },
    },
    mode: "full-refresh-append",
    tables: streams.map(({ namespace, name }) => `${namespace}.${name}`),
    // whoever runs us starts us anew with the last state, which a partition that failed here would contradict
    attemptsMax: 1,
    readers: channel.medium === "stdio" ? 1 : config.readers,
    checkpointEverySeconds: config.checkpointEverySeconds,
    // the only ranges that another snapshot can go on with
    partitionBy: "key",
    ledgerPath: join(folder, "ledger.sqlite"),
  };
}
