/** The number by which a server knows who reads its binlog. */
import { createHash } from "node:crypto";

/** Servers have small numbers by custom: ours begin where nobody gives any, and are below 2^31. */
const READER_ID_MIN = 2 ** 30;
const READER_IDS = 2 ** 30;

/**
 * Always the same for a sync, so that the server itself ends the session of a reader that was killed, and of no other
 * sync. @param name of the sync at its source
 */
export function chooseReaderId(name: string): number {
  const hash = createHash("sha256").update(name).digest();
  return READER_ID_MIN + (hash.readUInt32BE(0) % READER_IDS);
}
