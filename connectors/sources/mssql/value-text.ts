/** Values as the text that the server prints and takes back, where the other sources print them in another way. */
import { formatUuid } from "../batches/read-value.ts";

/** 16 bytes in the order they are printed. */
export function formatGuid(bytes: Uint8Array): string {
  return formatUuid(bytes).toUpperCase();
}
