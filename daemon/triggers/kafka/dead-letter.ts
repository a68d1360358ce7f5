/** What becomes of a message that can never become a run: it is kept where a person finds it, with the reason. */
import type { KafkaMessage, Message } from "kafkajs";
import { MESSAGE_BYTES_MAX, REASON_LENGTH_MAX } from "../parse-trigger.ts";

const KEY_BYTES_MAX = 1_024;

/** The message as it came, cut where it is too large to be a trigger; topic, partition and offset name the whole. */
export function writeDeadLetter(
  from: { readonly topic: string; readonly partition: number },
  message: Pick<KafkaMessage, "key" | "value" | "offset">,
  reason: string,
): Message {
  const { key, value, offset } = message;
  return {
    key: key && key.length <= KEY_BYTES_MAX ? key : null,
    value: value && value.subarray(0, MESSAGE_BYTES_MAX),
    headers: {
      "millrace-reason": reason.slice(0, REASON_LENGTH_MAX),
      "millrace-topic": from.topic,
      "millrace-partition": String(from.partition),
      "millrace-offset": offset,
      "millrace-bytes": String(value?.length ?? 0),
    },
  };
}
