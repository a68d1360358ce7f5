/** How the log is followed beside the readers: over one channel more, for as long as the run says. */
import { assign, enqueueActions } from "xstate";
import type { SourceOrder } from "../../proto/control.ts";
import { enqueueNamed, tell } from "../enqueue.ts";
import type { ReadStreamOrder } from "./source-process-context.ts";
import { withReads } from "./source-process-reads.ts";

type LogOrder = Extract<SourceOrder, { type: "source.log" }>;
type ToLog = Extract<
  SourceOrder,
  { type: "log.leave" | "log.stop" | "log.end" | "log.committed" }
>;

export const withLog = withReads.extend({
  actions: {
    beginLog: enqueueActions(({ context, enqueue }, params: LogOrder) => {
      const { settings } = context;
      if (!settings || context.log) return;
      const channel = context.channelsOpened + 1;
      enqueue.assign({
        channelsOpened: channel,
        log: {
          channel,
          isGathered: false,
          isDone: false,
          isSnapshotTold: false,
          isGuarded: false,
          step: "calm",
        },
      });
      const { streams, from, until, discoveredAt, end, connector, entry } =
        params;
      enqueue.spawnChild("logReader", {
        id: "logReader",
        systemId: "logReader",
        input: { streams, from, until, discoveredAt, end, connector, entry },
      });
      enqueue.spawnChild("channel", {
        id: `channel:${channel}`,
        systemId: `channel:${channel}`,
        input: { channel, connectDeadlineMs: settings.times.handshakeMs },
      });
      enqueueNamed(enqueue, {
        type: "startWorker",
        params: { channel, isLog: true },
      });
    }),
    tellLog: enqueueActions(
      ({ enqueue, system }, params: ToLog | { type: "log.cancel" }) => {
        tell(enqueue, system.get("logReader"), params);
      },
    ),
    giveLogChannel: enqueueActions(
      ({ context, enqueue, system }, { channel }: { channel: number }) => {
        if (context.log?.channel !== channel) return;
        tell(enqueue, system.get("logReader"), {
          type: "channel.assigned",
          channel,
        });
      },
    ),
    joinLog: enqueueActions(
      ({ context, enqueue, system }, params: ReadStreamOrder) => {
        const ordinals = new Map(
          params.partitions.map((one) => [one.ordinal, one]),
        );
        if (!context.log) return;
        let hasLog = false;
        for (const { stream, partition, resumeAfter } of params.orders) {
          const split = ordinals.get(partition)?.split;
          if (split?.kind !== "log") continue;
          hasLog = true;
          const durable = resumeAfter?.kind === "log" ? resumeAfter.after : "";
          tell(enqueue, system.get("logReader"), {
            type: "log.join",
            stream,
            partition,
            after: [durable, split.after].toSorted().at(-1) ?? "",
            visible: split.snapshot?.visible ?? null,
            isCopied: split.snapshot !== null,
          });
        }
        // an earlier attempt has come to the end of it
        if (!hasLog)
          tell(enqueue, system.get("logReader"), {
            type: "log.leave",
            stream: params.stream,
          });
      },
    ),
    // one of the stream's partitions is durable as a whole
    countStreamPart: enqueueActions(
      ({ context, enqueue }, { stream }: { stream: number }) => {
        const left = (context.remaining[stream] ?? 0) - 1;
        enqueue.assign({
          remaining: { ...context.remaining, [stream]: left },
        });
        enqueueNamed(enqueue, { type: "countPartition", params: { stream } });
        if (left === 0)
          enqueueNamed(enqueue, {
            type: "reportStreamRead",
            params: { stream },
          });
      },
    ),
    noteGathered: assign({
      log: ({ context }) => context.log && { ...context.log, isGathered: true },
    }),
    noteLogDone: assign({
      log: ({ context }) => context.log && { ...context.log, isDone: true },
    }),
    // nobody is going to ask for the snapshot any more in this attempt
    tellSnapshotRead: enqueueActions(({ context, enqueue, system }) => {
      const { log } = context;
      if (!log?.isGathered || log.isSnapshotTold) return;
      if (context.readersAlive > 0) return;
      enqueue.assign({ log: { ...log, isSnapshotTold: true } });
      enqueueNamed(enqueue, { type: "leaveSnapshot" });
      tell(enqueue, system.get("logReader"), { type: "log.release" });
      enqueueNamed(enqueue, {
        type: "report",
        params: { type: "snapshot.read" },
      });
    }),
  },
});
