/** A folder for sockets and both ends of a channel in one process, closed after the test. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as base } from "vitest";
import type { ExtractError } from "../../proto/error.ts";
import type {
  DestinationChannel,
  ReplyFrame,
  SourceChannel,
} from "../../transport/channel.ts";
import { listenChannel } from "../../transport/channel-listener.ts";
import type { ListenOptions } from "../../transport/channel-listener.ts";
import { connectChannel } from "../../transport/destination-channel.ts";
import type { ConnectOptions } from "../../transport/destination-channel.ts";
import { orders } from "./samples.ts";

export const listenDefaults: ListenOptions = {
  run: "r1",
  epoch: 1,
  channel: 1,
  streams: () => [orders],
  handshakeMs: 2000,
  probeMs: 20,
  probeDeadlineMs: 5000,
};

export const connectDefaults: ConnectOptions = {
  run: "r1",
  epoch: 1,
  channel: 1,
  connectDeadlineMs: 2000,
  handshakeMs: 2000,
  probeMs: 20,
  probeDeadlineMs: 5000,
  stalledAfterMs: 60_000,
};

/** A started source channel with what it was told. */
export interface StartedSource {
  readonly source: SourceChannel;
  readonly frames: ReplyFrame[];
  /** What onClosed was called with. */
  readonly closed: Promise<ExtractError | null>;
  /** The next frame of this kind that is not taken yet. */
  frame<K extends ReplyFrame["kind"]>(
    kind: K,
  ): Promise<Extract<ReplyFrame, { kind: K }>>;
}

export function startSource(source: SourceChannel): StartedSource {
  const frames: ReplyFrame[] = [];
  const closed = Promise.withResolvers<ExtractError | null>();
  let wake = (): void => {};
  source.start({
    onFrame: (frame) => {
      frames.push(frame);
      wake();
    },
    onClosed: closed.resolve,
  });
  return {
    source,
    frames,
    closed: closed.promise,
    async frame(kind) {
      for (;;) {
        const at = frames.findIndex((one) => one.kind === kind);
        const [found] = at < 0 ? [] : frames.splice(at, 1);
        if (found) return found as never;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}

export interface Pair extends StartedSource {
  readonly destination: DestinationChannel;
}

export interface ChannelFixtures {
  /** A path in a fresh folder. */
  readonly path: string;
  readonly open: (options?: {
    readonly listen?: Partial<ListenOptions>;
    readonly connect?: Partial<ConnectOptions>;
  }) => Promise<Pair>;
}

export const test = base.extend<ChannelFixtures>({
  // oxlint-disable-next-line no-empty-pattern
  path: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-channel-"));
    await use(join(folder, "socket_1.sock"));
    await rm(folder, { recursive: true });
  },
  open: async ({ path }, use) => {
    const ends: { close(): Promise<void> }[] = [];
    await use(async ({ listen, connect } = {}) => {
      const listener = await listenChannel(path, {
        ...listenDefaults,
        ...listen,
      });
      const [source, destination] = await Promise.all([
        listener.accepted,
        connectChannel(path, { ...connectDefaults, ...connect }),
      ]);
      ends.push(listener, destination, source);
      return { ...startSource(source), destination };
    });
    for (const end of ends) await end.close();
  },
});
