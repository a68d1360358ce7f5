/**
 * What is done with messages: each is recorded in the ledger, or told to be malformed, and only then its offset is
 * committed. A crash or a rebalance in between brings it again, and the ledger knows it. Nothing is run here.
 */
import { setImmediate as breathe } from "node:timers/promises";
import type { EachBatchPayload, KafkaMessage } from "kafkajs";
import {
  ExtractError,
  toWireError,
  type ErrorCode,
  type WireError,
} from "../../../proto/error.ts";
import type { TriggerOrder, TriggerReceipt } from "../../service/types.ts";
import { parseTrigger, type TriggerFormat } from "../parse-trigger.ts";

/** Messages between two commits; they cost a round trip each. */
const COMMIT_EVERY = 100;
/** Between two turns of the daemon's loop: each message costs a ledger's transaction, which is synchronous. */
const TURN_MS_MAX = 10;

/** What is the message's own fault, and would be tomorrow. */
const messageFaults: readonly ErrorCode[] = [
  "TRIGGER_INVALID",
  "SYNC_NOT_FOUND",
];

export interface Recorder {
  readonly format: TriggerFormat;
  trigger(order: TriggerOrder): TriggerReceipt;
  /** Resolves once all that was triggered is on disk. */
  settled(): Promise<void>;
  /** Durable when it returns. @throws ExtractError KAFKA_* */
  bury(
    from: { readonly topic: string; readonly partition: number },
    message: KafkaMessage,
    reason: string,
  ): Promise<void>;
  /** Whether nothing may be recorded now. */
  isHeld(): boolean;
  /** The message could not be recorded: it comes again. */
  refuse(error: WireError): void;
  recorded(result: TriggerReceipt["result"]): void;
  buried(reason: string, place: string): void;
}

export async function recordBatch(
  recorder: Recorder,
  payload: EachBatchPayload,
): Promise<void> {
  const { batch, resolveOffset, heartbeat, isRunning, isStale } = payload;
  const { topic, partition } = batch;
  let next: string | null = null;
  let uncommitted = 0;
  let turnAt = performance.now();
  const commit = async (): Promise<void> => {
    if (next === null) return;
    const partitions = [{ partition, offset: next }];
    next = null;
    uncommitted = 0;
    await recorder.settled();
    await payload.commitOffsetsIfNecessary({ topics: [{ topic, partitions }] });
  };
  for (const message of batch.messages) {
    if (!isRunning() || isStale() || recorder.isHeld()) break;
    if (!(await record(recorder, { topic, partition }, message))) break;
    resolveOffset(message.offset);
    next = String(BigInt(message.offset) + 1n);
    uncommitted += 1;
    if (uncommitted >= COMMIT_EVERY) await commit();
    if (performance.now() - turnAt < TURN_MS_MAX) continue;
    await breathe();
    turnAt = performance.now();
    try {
      await heartbeat();
    } catch (error) {
      // the group is being shared out anew: what is recorded need not come again, and does no harm if it does
      await commit().catch(() => {});
      throw error;
    }
  }
  await commit();
}

/** @returns whether its offset may be committed */
async function record(
  recorder: Recorder,
  from: { readonly topic: string; readonly partition: number },
  message: KafkaMessage,
): Promise<boolean> {
  try {
    const parsed = parseTrigger(message.value, recorder.format);
    const reason =
      "reason" in parsed
        ? parsed.reason
        : trigger(recorder, parsed.order, from, message);
    if (reason === null) return true;
    await recorder.bury(from, message, reason);
    recorder.buried(reason, `${from.topic}/${from.partition}@${message.offset}`); // prettier-ignore
    return true;
  } catch (error) {
    recorder.refuse(toWireError(error));
    return false;
  }
}

/** @returns why the message can never be recorded; null once it is */
function trigger(
  recorder: Recorder,
  order: Omit<TriggerOrder, "origin">,
  { topic, partition }: { readonly topic: string; readonly partition: number },
  { offset, timestamp }: KafkaMessage,
): string | null {
  try {
    const origin = {
      kind: "kafka",
      ...{ topic, partition, offset },
      writtenAt: /^[1-9]\d{0,19}$/.test(timestamp) ? timestamp : null,
    } as const;
    recorder.recorded(recorder.trigger({ ...order, origin }).result);
    return null;
  } catch (error) {
    if (error instanceof ExtractError && messageFaults.includes(error.code))
      return error.message;
    throw error;
  }
}
