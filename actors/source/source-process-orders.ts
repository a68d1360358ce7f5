/** How an operator's orders to one reader, stream or channel are followed, or refused with the reason. */
import { assign, enqueueActions } from "xstate";
import type { ActorOrder } from "../../proto/control.ts";
import type { WireError } from "../../proto/error.ts";
import { reaches } from "../../proto/log-budget.ts";
import { enqueueNamed, tell } from "../enqueue.ts";
import { describeSubject, type OrderedActor } from "./order-subject.ts";
import type { ReaderEvent } from "./reader.machine.ts";
import {
  streamOfKey,
  type SourceProcessContext,
} from "./source-process-context.ts";
import { withResplits } from "./source-process-resplits.ts";

const readerEvents = {
  pause: "reader.pause",
  resume: "reader.unpause",
  retry: "reader.retry",
} as const satisfies Record<Exclude<ActorOrder, "cancel">, ReaderEvent["type"]>;

const cancelled = (stream: number): WireError => ({
  code: "STREAM_CANCELLED",
  message: "cancelled by operator",
  details: { stream },
});

/** The guardian of the log has said so. */
function isSnapshotPaused({ log }: SourceProcessContext): boolean {
  return log !== null && reaches(log.step, "pause");
}

/** Why a stream cannot be told so in the state of the process; null: it can. */
function refuseStream(
  context: SourceProcessContext,
  stream: number,
  order: ActorOrder,
): string | null {
  const isPaused = context.pausedStreams.includes(stream);
  if (context.failedStreams.includes(stream)) return "it has failed already";
  if (context.remaining[stream] === 0)
    return "all of it is read, and it can only be committed";
  switch (order) {
    case "pause":
      return isPaused ? "it is paused already" : null;
    case "resume":
      return isPaused ? null : "it is not paused";
    case "retry":
      return "its run reads it once; cancel it, and trigger a new run";
    case "cancel":
      return null;
  }
}

function refuseChannel(
  context: SourceProcessContext,
  channel: number,
  order: ActorOrder,
): string | null {
  const isPaused = context.pausedChannels.includes(channel);
  switch (order) {
    case "pause":
      return isPaused ? "it is paused already" : null;
    case "resume":
      return isPaused ? null : "it is not paused";
    case "retry":
      return "a socket that breaks ends the attempt, and the next one opens it anew; retry the partition's reader";
    case "cancel":
      return "what it carries belongs to several streams; pause it, or cancel a stream or the run";
  }
}

export const withOrders = withResplits.extend({
  actions: {
    answerOrder: enqueueActions(
      (
        { enqueue },
        {
          id,
          subject,
          refusal,
        }: Pick<OrderedActor, "id" | "subject"> & {
          readonly refusal: string | null;
        },
      ) => {
        enqueueNamed(enqueue, {
          type: "report",
          params: {
            type: "source.ordered",
            id,
            subject: describeSubject(subject),
            refusal,
          },
        });
      },
    ),
    followOrder: enqueueActions(
      ({ context, enqueue, system }, { id, subject, order }: OrderedActor) => {
        const answer = (refusal: string | null): void =>
          enqueueNamed(enqueue, {
            type: "answerOrder",
            params: { id, subject, refusal },
          });
        switch (subject.kind) {
          case "reader": {
            const { key } = subject;
            const stream = streamOfKey(key);
            const reader = system.get(`reader:${key}`);
            if (order === "cancel") {
              const refusal = refuseStream(context, stream, order);
              if (refusal === null)
                enqueueNamed(enqueue, {
                  type: "cancelByOperator",
                  params: { stream },
                });
              return answer(refusal);
            }
            if (order === "resume" && context.pausedStreams.includes(stream))
              return answer("its stream is paused; resume the stream");
            if (order === "resume" && isSnapshotPaused(context))
              return answer("the snapshot waits until the log is shorter");
            const event = { type: readerEvents[order] };
            const state = reader?.getSnapshot() as
              | { value: string; can: (event: object) => boolean }
              | undefined;
            if (!state?.can(event))
              return answer(`it is ${state?.value ?? "done"}`);
            tell(enqueue, reader, event);
            return answer(null);
          }
          case "stream": {
            const { stream } = subject;
            const refusal = refuseStream(context, stream, order);
            answer(refusal);
            if (refusal !== null) return;
            if (order === "cancel")
              enqueueNamed(enqueue, {
                type: "cancelByOperator",
                params: { stream },
              });
            else
              enqueueNamed(enqueue, {
                type: "holdStream",
                params: { stream, isPaused: order === "pause" },
              });
            return;
          }
          case "channel": {
            const { channel } = subject;
            const refusal = refuseChannel(context, channel, order);
            answer(refusal);
            if (refusal !== null) return;
            enqueue.assign({
              pausedChannels:
                order === "pause"
                  ? [...context.pausedChannels, channel]
                  : context.pausedChannels.filter((one) => one !== channel),
            });
            enqueueNamed(enqueue, { type: "dispatch" });
            return;
          }
          case "other":
            return answer(
              "it takes no orders; tell a partition's reader, a stream, or the run",
            );
          case "none":
            return answer("it is not there any more");
        }
      },
    ),
    cancelByOperator: enqueueActions(
      ({ context, enqueue }, { stream }: { stream: number }) => {
        enqueue.assign({
          plansWaiting: context.plansWaiting.filter(
            (one) => one.stream !== stream,
          ),
        });
        enqueueNamed(enqueue, { type: "cancelStream", params: { stream } });
        enqueueNamed(enqueue, {
          type: "report",
          params: { type: "stream.failed", stream, error: cancelled(stream) },
        });
      },
    ),
    // its readers go to the next place where they can stop; those that come later are held when they queue
    holdStream: enqueueActions(
      (
        { context, enqueue, system },
        { stream, isPaused }: { stream: number; isPaused: boolean },
      ) => {
        const others = context.pausedStreams.filter((one) => one !== stream);
        enqueue.assign({
          pausedStreams: isPaused ? [...others, stream] : others,
        });
        for (const key of Object.keys(context.weights)) {
          if (streamOfKey(key) !== stream) continue;
          if (!isPaused && isSnapshotPaused(context)) continue;
          tell(enqueue, system.get(`reader:${key}`), {
            type: isPaused ? "reader.pause" : "reader.unpause",
          });
        }
      },
    ),
    holdReader: enqueueActions(
      ({ enqueue, system }, { key }: { key: string }) => {
        tell(enqueue, system.get(`reader:${key}`), { type: "reader.pause" });
      },
    ),
    dequeue: assign({
      queue: ({ context }, { key }: { key: string }) =>
        context.queue.filter((one) => one.key !== key),
    }),
  },
});
