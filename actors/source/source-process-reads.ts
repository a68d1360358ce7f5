/** How streams are planned one after the other, and how their readers come, hear of their workers, and go. */
import { assign, enqueueActions } from "xstate";
import { enqueueNamed, tell } from "../enqueue.ts";
import { readerKey } from "./reader.machine.ts";
import { withChannels } from "./source-process-channels.ts";
import {
  beginRead,
  streamOfKey,
  without,
  type KnownRead,
  type QueuedRead,
  type ReadStreamOrder,
} from "./source-process-context.ts";
import type { SourceWorkerFact } from "./worker-messages.ts";

export const withReads = withChannels.extend({
  actions: {
    planNext: enqueueActions(({ context, enqueue }) => {
      const [next, ...rest] = context.plansWaiting;
      if (!next || context.planning) return;
      enqueue.assign({ plansWaiting: rest, planning: true });
      enqueue.spawnChild("partitioner", {
        id: `partitioner:${next.stream}`,
        input: next,
      });
    }),
    spawnReaders: enqueueActions(
      ({ context, enqueue }, params: ReadStreamOrder) => {
        const byOrdinal = new Map(
          params.partitions.map((one) => [one.ordinal, one]),
        );
        const streamBytes = params.partitions.reduce(
          (sum, one) => sum + one.estimatedBytes,
          0,
        );
        const lastOrdinal = Math.max(...byOrdinal.keys());
        let readers = 0;
        const weights: Record<string, QueuedRead> = { ...context.weights };
        const reads: Record<string, KnownRead> = { ...context.reads };
        for (const order of params.orders) {
          const range = byOrdinal.get(order.partition);
          if (!range)
            throw new Error(
              `partition ${order.stream}/${order.partition} is not in the plan`,
            );
          // the reader of all logs has it
          if (range.split.kind === "log") continue;
          const key = readerKey(order);
          weights[key] = {
            key,
            streamBytes,
            edge: order.partition === 0 || order.partition === lastOrdinal,
          };
          reads[key] = beginRead(key, range);
          readers += 1;
          enqueue.spawnChild("reader", {
            id: `reader:${key}`,
            systemId: `reader:${key}`,
            input: {
              range,
              resumeAfter: order.resumeAfter,
              where: params.where,
              window: params.window,
            },
          });
        }
        enqueue.assign({
          weights,
          reads,
          filters: {
            ...context.filters,
            [params.stream]: { where: params.where, window: params.window },
          },
          remaining: {
            ...context.remaining,
            [params.stream]: params.orders.length,
          },
          readersAlive: context.readersAlive + readers,
        });
        if (params.orders.length === 0)
          enqueueNamed(enqueue, {
            type: "reportStreamRead",
            params: { stream: params.stream },
          });
      },
    ),
    route: enqueueActions(
      (
        { enqueue, system },
        params: { channel: number; fact: SourceWorkerFact },
      ) => {
        const { channel, fact } = params;
        switch (fact.type) {
          case "channel.listening":
          case "channel.connected":
          case "channel.broken":
          case "channel.paused":
          case "channel.resumed":
          case "channel.ended": {
            const target = system.get(`channel:${channel}`);
            tell(enqueue, target, fact);
            return;
          }
          case "session.lost":
            enqueueNamed(enqueue, { type: "noteLost", params: { channel } });
            return;
          case "checkpoint.ready":
            enqueueNamed(enqueue, {
              type: "allotIndex",
              params: { channel, fact },
            });
            break;
          case "checkpoint.acked":
            enqueueNamed(enqueue, { type: "settleCheckpoint", params: fact });
            break;
          case "read.progress":
            enqueueNamed(enqueue, { type: "countRead", params: fact });
            enqueueNamed(enqueue, { type: "countBytes", params: fact });
            return;
          case "value.nulled":
            enqueueNamed(enqueue, { type: "countRead", params: fact });
            return;
          case "log.checkpoint":
          case "log.ending":
            enqueueNamed(enqueue, { type: "report", params: fact });
            return;
          case "log.closed":
          case "log.failed":
            tell(enqueue, system.get("logReader"), fact);
            return;
          default:
            break;
        }
        const reader = system.get(`reader:${readerKey(fact)}`);
        tell(enqueue, reader ?? system.get("logReader"), fact);
      },
    ),
    countBytes: assign(
      (
        { context },
        fact: Extract<SourceWorkerFact, { type: "read.progress" }>,
      ) => {
        const read = context.reads[readerKey(fact)];
        if (!read) return {};
        const counted = {
          ...read,
          rows: read.rows + fact.rows,
          bytes: read.bytes + fact.bytes,
        };
        return { reads: { ...context.reads, [read.key]: counted } };
      },
    ),
    cancelStream: enqueueActions(
      ({ context, enqueue, system }, params: { stream: number }) => {
        for (const key of Object.keys(context.weights)) {
          if (streamOfKey(key) !== params.stream) continue;
          const reader = system.get(`reader:${key}`);
          tell(enqueue, reader, { type: "reader.cancel" });
        }
        enqueue.assign({
          queue: context.queue.filter(
            (one) => streamOfKey(one.key) !== params.stream,
          ),
          failedStreams: [...context.failedStreams, params.stream],
        });
      },
    ),
    tellReaders: enqueueActions(
      (
        { context, enqueue, system },
        params: { type: "reader.stop" | "reader.cancel" },
      ) => {
        for (const key of Object.keys(context.weights))
          tell(enqueue, system.get(`reader:${key}`), params);
        enqueue.assign({ queue: [] });
      },
    ),
    forgetReader: assign(({ context }, params: { key: string }) => ({
      readersAlive: context.readersAlive - 1,
      weights: without(context.weights, params.key),
      reads: without(context.reads, params.key),
    })),
  },
});
