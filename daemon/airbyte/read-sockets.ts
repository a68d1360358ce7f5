/**
 * The sockets of a read that is several runs, or none: whoever connects does so once, and hears one run after the other.
 * The channels of a run listen in a folder of its own, and their bytes are passed on as they are.
 */
import { mkdirSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { tryConnect } from "../../connectors/airbyte/try-connect.ts";
import { airbyteDestinationDefaults } from "../../connectors/destinations/airbyte/config.ts";
import {
  encodeMessages,
  probeOf,
} from "../../connectors/airbyte/message-bytes.ts";
import {
  listen,
  MessageOutput,
  type Listening,
  type RecordOutput,
} from "../../connectors/airbyte/message-output.ts";
import { ExtractError } from "../../proto/error.ts";
import type { DataChannel } from "./data-channel.ts";

/** Between two looks for a channel that listens. */
const LOOK_AGAIN_MS = 20;
/** A peer that has come to one socket comes to the others within this time. */
const LATE_MS_MAX = 2_000;

type SocketChannel = Extract<DataChannel, { readonly medium: "sockets" }>;

interface Outlet {
  /** In the folder of a run. */
  readonly name: string;
  readonly listening: Listening;
  readonly output: Promise<RecordOutput>;
  isConnected: boolean;
}

export class ReadSockets {
  readonly #format: SocketChannel["format"];
  readonly #outlets: readonly Outlet[];

  private constructor(
    format: SocketChannel["format"],
    outlets: readonly Outlet[],
  ) {
    this.#format = format;
    this.#outlets = outlets;
  }

  /** Listens from now on. @throws ExtractError DESTINATION_UNWRITABLE */
  static async open(
    { paths, format }: SocketChannel,
    connectMs: number,
  ): Promise<ReadSockets> {
    const label = "whoever reads our output";
    const { stallMs } = airbyteDestinationDefaults;
    const outlets = await Promise.all(
      paths.map(async (path, i): Promise<Outlet> => {
        const listening = await listen(path, connectMs, label);
        const output = listening.connected.then((socket) => {
          outlet.isConnected = true;
          return new MessageOutput(socket, {
            ...{ label, stallMs, probe: probeOf(format) },
          });
        });
        output.catch(() => {
          // told to whoever writes
        });
        const name = `${i + 1}.sock`;
        const outlet: Outlet = { name, listening, output, isConnected: false };
        return outlet;
      }),
    );
    return new ReadSockets(format, outlets);
  }

  /** Where the channels of a run are to listen. */
  pathsIn(folder: string): readonly string[] {
    return this.#outlets.map(({ name }) => join(folder, name));
  }

  /**
   * Passes on what the channels of a run write.
   * @returns ends it, once the run has: resolves when all has been passed on
   */
  follow(
    folder: string,
    onFault: (error: ExtractError) => void,
  ): () => Promise<void> {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const over = new AbortController();
    const probe = Buffer.from(probeOf(this.#format));
    const forwards = this.#outlets.map((outlet) =>
      forward(outlet, folder, probe, over.signal).catch((error: unknown) => {
        // else the run's own end says what has gone wrong
        if (error instanceof ExtractError) onFault(error);
      }),
    );
    return async () => {
      over.abort();
      await Promise.all(forwards);
    };
  }

  /** By the first socket, where somebody has come to it. @throws ExtractError CHANNEL_BROKEN, PEER_STALLED */
  async write(messages: readonly string[]): Promise<void> {
    const [first] = this.#outlets;
    if (!first || messages.length === 0) return;
    try {
      await (await first.output).write(encodeMessages(messages, this.#format));
    } catch (error) {
      if (first.isConnected) throw error;
    }
  }

  /** The peer hears that nothing follows. @param isAwaited it may come yet, and hears it then */
  async end(isAwaited = false): Promise<void> {
    await Promise.all(
      this.#outlets.map(async (outlet) => {
        const { output, listening } = outlet;
        try {
          if (!outlet.isConnected && !isAwaited)
            await Promise.race([
              output,
              sleep(LATE_MS_MAX, undefined, { ref: false }),
            ]);
          if (outlet.isConnected || isAwaited) await (await output).end();
        } catch {
          // it has gone, or not come
        } finally {
          listening.close();
        }
      }),
    );
  }
}

/** Until the run has closed its end. @throws ExtractError why nobody takes it */
async function forward(
  { output, name }: Outlet,
  folder: string,
  probe: Buffer,
  over: AbortSignal,
): Promise<void> {
  const from = await connectTo(join(folder, name), over);
  if (from === null) return;
  let hasBegun = false;
  try {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      // whoever has nothing to say need not be heard
      if (!hasBegun && chunk.equals(probe)) continue;
      hasBegun = true;
      await (await output).write([chunk]);
    }
  } finally {
    from.destroy();
  }
}

/** Once it is listened on; null: it will not be any more. */
async function connectTo(
  path: string,
  over: AbortSignal,
): Promise<Socket | null> {
  for (;;) {
    const socket = await tryConnect(path);
    if (socket !== null || over.aborted) return socket;
    await sleep(LOOK_AGAIN_MS);
  }
}
