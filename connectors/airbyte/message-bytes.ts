/** Messages that are no records, as a channel's format has them. */
import {
  encodeMessage,
  probe as protobufProbe,
} from "./record-protobuf/encoder.ts";

export type ChannelFormat = "jsonl" | "protobuf" | "columnar";

const utf8 = new TextEncoder();
const newline = utf8.encode("\n");

/** @param messages each as JSON */
export function encodeMessages(
  messages: readonly string[],
  format: ChannelFormat,
): readonly Uint8Array[] {
  return messages.flatMap((json) =>
    format === "jsonl" ? [utf8.encode(json), newline] : [encodeMessage(json)],
  );
}

/** Says to a peer over an idle socket that we are there. */
export function probeOf(format: ChannelFormat): Uint8Array {
  return format === "jsonl" ? newline : protobufProbe;
}
