/**
 * Reads what Kafka's clients compress with Snappy: one block, or several behind the header of the Java library.
 * @see SnappyCodec of xerial/snappy-java; Snappy compressed format description, format_description.txt of google/snappy
 */
import { snappyUncompress } from "hyparquet";

const HEADER = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
/** The header and two numbers of versions. */
const HEADER_BYTES = 16;

/** @throws RangeError for what is no Snappy block, is cut off, or holds more than `bytesMax` */
export function uncompressSnappy(bytes: Buffer, bytesMax: number): Buffer {
  if (!bytes.subarray(0, HEADER.length).equals(HEADER))
    return uncompressBlock(bytes, bytesMax);
  const blocks: Buffer[] = [];
  let left = bytesMax;
  for (let at = HEADER_BYTES; at < bytes.length;) {
    if (at + 4 > bytes.length) throw cutOff();
    const length = bytes.readUInt32BE(at);
    const end = at + 4 + length;
    if (end > bytes.length) throw cutOff();
    const block = uncompressBlock(bytes.subarray(at + 4, end), left);
    left -= block.length;
    blocks.push(block);
    at = end;
  }
  return Buffer.concat(blocks);
}

function uncompressBlock(block: Buffer, bytesMax: number): Buffer {
  const length = readUncompressedLength(block);
  if (length > bytesMax)
    throw new RangeError(`Snappy blocks hold more than ${bytesMax} bytes`);
  const out = Buffer.alloc(length);
  try {
    snappyUncompress(block, out);
  } catch (error) {
    throw new RangeError("a Snappy block is damaged", { cause: error });
  }
  return out;
}

/** The varint that a block begins with, of five bytes at most. */
function readUncompressedLength(block: Buffer): number {
  let length = 0;
  for (let i = 0; i < 5; i++) {
    const byte = block[i] ?? 0x80;
    length += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return length;
  }
  throw new RangeError("a Snappy block without a length");
}

function cutOff(): RangeError {
  return new RangeError("a Snappy block is cut off");
}
