/**
 * What is kept of an event that cannot be decoded, where the policy lets the stream go on without it: one line of JSON
 * that says which one it was and why, and as much of its bytes as is bounded here. The caller writes it down durably
 * before the log's position moves on.
 */
import type { ExtractError } from "../../../../proto/error.ts";
import type { EventParts } from "./event.ts";

/** Of key and value together. */
const RAW_BYTES_MAX = 64 * 1024;

export interface QuarantineEntry {
  readonly stream: string;
  /** Of the event, or of its transaction. */
  readonly position: string | null;
  readonly error: Pick<ExtractError, "code" | "message" | "details">;
}

/** Without a line feed. Bytes are base64: what cannot be read may not be text either. */
export function formatQuarantine(
  { number, topic, key, value }: EventParts,
  { stream, position, error }: QuarantineEntry,
): string {
  const keyPart = (key ?? noBytes).subarray(0, RAW_BYTES_MAX);
  const valuePart = (value ?? noBytes).subarray(
    0,
    RAW_BYTES_MAX - keyPart.length,
  );
  return JSON.stringify({
    position,
    stream,
    topic,
    number,
    code: error.code,
    reason: error.message,
    details: error.details,
    key: Buffer.from(keyPart).toString("base64"),
    value: Buffer.from(valuePart).toString("base64"),
    keyBytes: key?.length ?? null,
    valueBytes: value?.length ?? null,
  });
}

const noBytes = new Uint8Array(0);
