/** How a reader that has much left gives the tail of its range to a channel that has nothing to do. */
import { enqueueActions } from "xstate";
import { chooseGiver, estimateRowBytes } from "../../partitioning/resplit.ts";
import type { WireError } from "../../proto/error.ts";
import { checkNamed, enqueueNamed, tell } from "../enqueue.ts";
import { readerKey } from "./reader.machine.ts";
import type { ResplitterEvent, ResplitterNews } from "./resplitter.machine.ts";
import { beginRead, streamOfKey } from "./source-process-context.ts";
import { withLog } from "./source-process-log.ts";

export const withResplits = withLog.extend({
  actions: {
    // more could work than there are partitions waiting: the reader with the most left is asked for the tail of its range
    askForTail: enqueueActions(({ context, enqueue, system, check }) => {
      const { settings, channels, channelsOpened } = context;
      const isBusy =
        context.resplitting !== null ||
        context.queue.length > 0 ||
        context.planning ||
        context.plansWaiting.length > 0;
      if (!settings || isBusy) return;
      const target = Math.min(context.readersTarget, settings.channelsMax);
      const reading = Object.values(channels).filter((key) => key !== null);
      if (reading.length >= target) return;
      const giver = chooseGiver(
        reading
          .map((key) => context.reads[key])
          .filter((read) => read !== undefined)
          .filter(
            ({ key, range, hasRefused }) =>
              !hasRefused &&
              !context.failedStreams.includes(streamOfKey(key)) &&
              !context.pausedStreams.includes(streamOfKey(key)) &&
              checkNamed(check, { type: "canSplit", params: { range } }),
          ),
        settings.partitionBytesMin,
      );
      if (!giver) return;
      const isAnyFree = Object.entries(channels).some(
        ([channel, key]) =>
          key === null && !context.pausedChannels.includes(Number(channel)),
      );
      if (!isAnyFree) {
        // one that is being opened says channel.idle when it is there
        if (reading.length === channelsOpened - context.channelsLost.length)
          enqueueNamed(enqueue, { type: "openChannel" });
        return;
      }
      const actor = `resplitter:${context.resplits + 1}`;
      enqueue.assign({
        resplits: context.resplits + 1,
        resplitting: { key: giver.key, actor },
      });
      enqueue.spawnChild("resplitter", {
        id: actor,
        systemId: actor,
        input: {
          key: giver.key,
          range: giver.range,
          rowBytes: estimateRowBytes(giver),
          bytesMin: settings.partitionBytesMin,
        },
      });
      tell(enqueue, system.get(`reader:${giver.key}`), {
        type: "reader.yield",
      });
    }),
    tellResplitter: enqueueActions(
      (
        { context, enqueue, system },
        { key, event }: { key: string; event: ResplitterEvent },
      ) => {
        if (context.resplitting?.key !== key) return;
        tell(enqueue, system.get(context.resplitting.actor), event);
      },
    ),
    keepWhole: enqueueActions(({ enqueue }, { key }: { key: string }) => {
      enqueueNamed(enqueue, {
        type: "tellResplitter",
        params: { key, event: { type: "reader.kept" } },
      });
    }),
    endResplit: enqueueActions(
      (
        { context, enqueue, system },
        {
          key,
          outcome,
          giver,
          taker,
        }: Extract<ResplitterNews, { type: "resplitter.ended" }>,
      ) => {
        enqueue.assign({ resplitting: null });
        const read = context.reads[key];
        if (!read || outcome === "kept") return;
        const reads = {
          ...context.reads,
          [key]: { ...read, range: giver, hasRefused: outcome === "refused" },
        };
        enqueue.assign({ reads });
        if (taker) {
          const added = readerKey({
            stream: taker.stream,
            partition: taker.ordinal,
          });
          const { streamBytes = 0 } = context.weights[key] ?? {};
          enqueue.assign({
            reads: { ...reads, [added]: beginRead(added, taker) },
            weights: {
              ...context.weights,
              [added]: { key: added, streamBytes, edge: false },
            },
            remaining: {
              ...context.remaining,
              [taker.stream]: (context.remaining[taker.stream] ?? 0) + 1,
            },
            readersAlive: context.readersAlive + 1,
          });
          enqueue.spawnChild("reader", {
            id: `reader:${added}`,
            systemId: `reader:${added}`,
            input: {
              range: taker,
              resumeAfter: null,
              where: null,
              window: null,
              ...context.filters[taker.stream],
            },
          });
        }
        tell(enqueue, system.get(`reader:${key}`), {
          type: "reader.resume",
          range: giver,
        });
      },
    ),
    // the reader goes on as it was
    warnOfRefusal: enqueueActions(
      (
        { enqueue },
        { key, error }: { key: string; error: WireError | null },
      ) => {
        if (!error) return;
        const message = `partition ${key} could not be split between two readers: ${error.message}`;
        enqueueNamed(enqueue, {
          type: "report",
          params: { type: "warning", message },
        });
      },
    ),
  },
});
