/**
 * Reads what Kafka's clients compress with Snappy: one block, or several behind the header of the Java library.
 * @see SnappyCodec of xerial/snappy-java
 */
import { uncompressSnappyBlock } from "../../proto/snappy-block.ts";

const HEADER = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
/** The header and two numbers of versions. */
const HEADER_BYTES = 16;

/** @throws RangeError for what is no Snappy block, is cut off, or holds more than `bytesMax` */
export function uncompressSnappy(bytes: Buffer, bytesMax: number): Buffer {
  if (!bytes.subarray(0, HEADER.length).equals(HEADER))
    return asBuffer(uncompressSnappyBlock(bytes, bytesMax));
  const blocks: Uint8Array[] = [];
  let left = bytesMax;
  for (let at = HEADER_BYTES; at < bytes.length;) {
    if (at + 4 > bytes.length) throw cutOff();
    const length = bytes.readUInt32BE(at);
    const end = at + 4 + length;
    if (end > bytes.length) throw cutOff();
    const block = uncompressSnappyBlock(bytes.subarray(at + 4, end), left);
    left -= block.length;
    blocks.push(block);
    at = end;
  }
  return Buffer.concat(blocks);
}

function cutOff(): RangeError {
  return new RangeError("a Snappy block is cut off");
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
