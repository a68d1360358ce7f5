/**
 * Who logs in, and the answer.
 * @see [MS-TDS] 2.2.6.4 "LOGIN7", 2.2.7.14 "LOGINACK"
 */
import { Cursor } from "./cursor.ts";
import type { ByteSink } from "./sink.ts";
import { tokens } from "./tokens.ts";

export interface Login {
  /** 0x74000004 is 7.4. */
  readonly tdsVersion: number;
  readonly packetBytes: number;
  readonly user: string;
  readonly password: string;
  readonly application: string;
  readonly database: string;
  readonly hasFeatures: boolean;
}

/** TDS 7.4, as LOGIN7 and LOGINACK have it. */
export const TDS_7_4 = 0x74000004;

/** Where each text's offset and length stand. */
const places = { user: 40, password: 44, application: 48, database: 68 };
const FLAGS3_AT = 27;
const EXTENSION = 0x10;

export function readLogin(body: Buffer): Login {
  const text = (place: number): Buffer => {
    const head = new Cursor(body, place);
    const start = head.u16();
    return new Cursor(body, start).take(head.u16() * 2);
  };
  const plain = (place: number) => text(place).toString("utf16le");
  // each byte of a password has its halves swapped and is then XORed with 0xA5
  const password = Buffer.from(text(places.password)).map((byte) => {
    const swapped = byte ^ 0xa5;
    return ((swapped << 4) & 0xf0) | (swapped >> 4);
  });
  return {
    tdsVersion: new Cursor(body, 4).u32(),
    packetBytes: new Cursor(body, 8).u32(),
    user: plain(places.user),
    password: Buffer.from(password).toString("utf16le"),
    application: plain(places.application),
    database: plain(places.database),
    hasFeatures: (new Cursor(body, FLAGS3_AT).u8() & EXTENSION) !== 0,
  };
}

export function writeLoginAck(
  sink: ByteSink,
  version: readonly [number, number, number],
): void {
  const program = "Microsoft SQL Server";
  sink.u8(tokens.loginAck).u16(1 + 4 + 1 + program.length * 2 + 4);
  sink.u8(1); // SQL_TSQL
  sink.raw(Buffer.of(0x74, 0, 0, 4)); // big-endian, unlike in LOGIN7
  sink.shortText(program);
  sink
    .u8(version[0])
    .u8(version[1])
    .u8(version[2] >> 8)
    .u8(version[2] & 0xff);
}
