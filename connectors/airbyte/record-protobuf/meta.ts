/** What a protobuf record says of its own values, as `meta` of a JSON record does. */
import { ByteSink } from "../../formats/byte-sink.ts";
import { changeTags, metaTags } from "./wire.ts";

/** Of the enum of reasons; the change is 0 (`NULLED`), which is not written. */
const SOURCE_RETRIEVAL_ERROR = 9;

const utf8 = new TextEncoder();

/** An AirbyteRecordMessageMeta: the source has not sent these fields, which are NULL therefore. */
export function encodeUnsent(fields: readonly string[]): Uint8Array {
  const meta = new ByteSink(256);
  for (const field of fields) {
    const name = utf8.encode(field);
    const change = new ByteSink(name.length + 16);
    change.appendByte(changeTags.field);
    change.appendVarint(name.length);
    change.append(name);
    change.appendByte(changeTags.reason);
    change.appendByte(SOURCE_RETRIEVAL_ERROR);
    meta.appendByte(metaTags.changes);
    meta.appendVarint(change.length);
    meta.append(change.written());
  }
  return meta.written().slice();
}
