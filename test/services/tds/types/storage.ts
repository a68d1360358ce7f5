/**
 * How a value is kept in SQLite, so that SQLite's own comparison gives SQL Server's order (strings: after `sortKey`):
 * integers, bit, date (days since year 1), time and datetime2 (100 ns), datetime (1/300 s), smalldatetime (minutes)
 * and money (1/10,000) as an integer; float and real as a number; decimal as 16 bytes, big-endian, of value × 10^scale
 * + 2^127; datetimeoffset as 10 bytes, big-endian: 100 ns of UTC, and minutes + 2^15; uniqueidentifier as 16 bytes in
 * its order of comparison; text as text, where a lone surrogate stands as a character of plane 16; binaries as they
 * are; sql_variant as its bytes on the wire.
 */
export type Storage = null | bigint | number | string | Uint8Array;

/** What the server answers to a conversion that fails. */
export class SqlError extends Error {
  readonly number: number;
  readonly severity: number;
  readonly state: number;

  constructor(number: number, message: string, severity = 16, state = 1) {
    super(message);
    this.number = number;
    this.severity = severity;
    this.state = state;
  }
}

const DECIMAL_ZERO = 1n << 127n;

export function packDecimal(unscaled: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(16);
  const shifted = unscaled + DECIMAL_ZERO;
  bytes.writeBigUInt64BE(shifted >> 64n, 0);
  bytes.writeBigUInt64BE(shifted & 0xffff_ffff_ffff_ffffn, 8);
  return bytes;
}

export function unpackDecimal(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  return (view.getBigUint64(0) << 64n) + view.getBigUint64(8) - DECIMAL_ZERO;
}

const OFFSET_ZERO = 1 << 15;

/** @param ticks 100 ns of UTC since year 1. @param minutes east of Greenwich */
export function packOffset(ticks: bigint, minutes: number): Buffer {
  const bytes = Buffer.allocUnsafe(10);
  bytes.writeBigInt64BE(ticks, 0);
  bytes.writeUInt16BE(minutes + OFFSET_ZERO, 8);
  return bytes;
}

export function unpackOffset(bytes: Uint8Array): {
  ticks: bigint;
  minutes: number;
} {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 10);
  return {
    ticks: view.getBigInt64(0),
    minutes: view.getUint16(8) - OFFSET_ZERO,
  };
}

/**
 * The order in which SQL Server compares the 16 bytes that travel.
 * @see .NET reference, System.Data.SqlTypes.SqlGuid.CompareTo, which follows the server
 */
const guidOrder = [10, 11, 12, 13, 14, 15, 8, 9, 6, 7, 4, 5, 0, 1, 2, 3];

export function packGuid(wire: Uint8Array): Buffer {
  return Buffer.from(guidOrder.map((at) => wire[at]!));
}

export function unpackGuid(stored: Uint8Array): Buffer {
  const wire = Buffer.allocUnsafe(16);
  guidOrder.forEach((at, i) => (wire[at] = stored[i]!));
  return wire;
}

/** SQLite's text is UTF-8, which has no lone surrogates; SQL Server's may. */
const PLANE_16_SURROGATES = 0x10_d800;

export function packText(text: string): string {
  if (text.isWellFormed()) return text;
  return text.replace(/\p{Surrogate}/gu, (unit) =>
    String.fromCodePoint(PLANE_16_SURROGATES + unit.charCodeAt(0) - 0xd800),
  );
}

const packedSurrogates = /[\u{10d800}-\u{10dfff}]/gu;

export function unpackText(text: string): string {
  // such a character begins with the code unit DBF6 or DBF7
  if (!text.includes("\udbf6") && !text.includes("\udbf7")) return text;
  return text.replace(packedSurrogates, (packed) =>
    String.fromCharCode(packed.codePointAt(0)! - PLANE_16_SURROGATES + 0xd800),
  );
}
