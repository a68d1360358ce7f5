/**
 * The first exchange: versions, and whether TLS is used.
 * @see [MS-TDS] 2.2.6.5 "PRELOGIN"
 */
import { Cursor } from "./cursor.ts";

const options = { version: 0, encryption: 1, instance: 2, thread: 3, mars: 4 };
const END = 0xff;

export const encryption = {
  off: 0x00,
  on: 0x01,
  notSupported: 0x02,
  required: 0x03,
} as const;

/** @returns what the client says of encryption */
export function readPreLogin(body: Buffer): number {
  const heads = new Cursor(body);
  for (;;) {
    const option = heads.u8();
    if (option === END) return encryption.notSupported;
    const place = heads.take(4);
    const start = place.readUInt16BE(0);
    const length = place.readUInt16BE(2);
    if (option === options.encryption)
      return length === 0
        ? encryption.notSupported
        : new Cursor(body, start).u8();
  }
}

/** @param version major, minor, build */
export function buildPreLogin(
  version: readonly [number, number, number],
  encrypt: number,
): Buffer {
  const parts: (readonly [number, Buffer])[] = [
    [
      options.version,
      Buffer.of(
        version[0],
        version[1],
        version[2] >> 8,
        version[2] & 0xff,
        0,
        0,
      ),
    ],
    [options.encryption, Buffer.of(encrypt)],
    [options.instance, Buffer.of(0)],
    [options.thread, Buffer.alloc(0)],
    [options.mars, Buffer.of(0)],
  ];
  const heads: Buffer[] = [];
  let at = parts.length * 5 + 1;
  for (const [option, data] of parts) {
    const head = Buffer.alloc(5);
    head[0] = option;
    head.writeUInt16BE(at, 1);
    head.writeUInt16BE(data.length, 3);
    at += data.length;
    heads.push(head);
  }
  return Buffer.concat([...heads, Buffer.of(END), ...parts.map(([, d]) => d)]);
}
