/**
 * Writes Thrift's compact protocol, as far as Parquet's headers and footer need it.
 * @see Thrift compact protocol specification, doc/specs/thrift-compact-protocol.md of apache/thrift
 */
import { ByteSink } from "../byte-sink.ts";

/** Type nibbles of the compact protocol. */
export const thriftType = {
  true: 1,
  false: 2,
  i16: 4,
  i32: 5,
  i64: 6,
  binary: 8,
  list: 9,
  struct: 12,
} as const;

type ElementType = (typeof thriftType)[keyof typeof thriftType];

/** Structs nest no deeper than this in any Parquet structure. */
const STRUCT_DEPTH_MAX = 12;

const utf8 = new TextEncoder();

export class ThriftWriter {
  readonly sink: ByteSink;
  /** Id of the field written last, one for each open struct. */
  readonly #lastField = new Int16Array(STRUCT_DEPTH_MAX);
  #depth = 0;

  constructor(bytes = 256) {
    this.sink = new ByteSink(bytes);
  }

  /** Starts over; what was written is forgotten. */
  reset(): void {
    this.sink.length = 0;
    this.#depth = 0;
    this.#lastField[0] = 0;
  }

  /** Opens a struct: as a field when `id` is given, else as the top level or as a list's element. */
  beginStruct(id?: number): void {
    if (id !== undefined) this.#writeField(id, thriftType.struct);
    this.#depth++;
    this.#lastField[this.#depth] = 0;
  }

  endStruct(): void {
    this.sink.appendByte(0);
    this.#depth--;
  }

  writeBool(id: number, value: boolean): void {
    this.#writeField(id, value ? thriftType.true : thriftType.false);
  }

  /** One signed byte, the protocol's `i8`. */
  writeByte(id: number, value: number): void {
    this.#writeField(id, 3);
    this.sink.appendByte(value & 0xff);
  }

  writeI16(id: number, value: number): void {
    this.#writeField(id, thriftType.i16);
    this.sink.appendZigzag(value);
  }

  writeI32(id: number, value: number): void {
    this.#writeField(id, thriftType.i32);
    this.sink.appendZigzag(value);
  }

  /** @param value a safe integer */
  writeI64(id: number, value: number): void {
    this.#writeField(id, thriftType.i64);
    this.sink.appendZigzag(value);
  }

  writeBinary(id: number, value: Uint8Array): void {
    this.#writeField(id, thriftType.binary);
    this.writeBinaryElement(value);
  }

  writeString(id: number, value: string): void {
    this.writeBinary(id, utf8.encode(value));
  }

  /** Opens a list; its elements follow by `write…Element` or `beginStruct()`. */
  beginList(id: number, type: ElementType, count: number): void {
    this.#writeField(id, thriftType.list);
    if (count < 15) {
      this.sink.appendByte((count << 4) | type);
    } else {
      this.sink.appendByte(0xf0 | type);
      this.sink.appendVarint(count);
    }
  }

  writeBoolElement(value: boolean): void {
    this.sink.appendByte(value ? 1 : 2);
  }

  /** Elements of i16, i32 and i64 lists alike. */
  writeIntElement(value: number): void {
    this.sink.appendZigzag(value);
  }

  writeBinaryElement(value: Uint8Array): void {
    this.sink.appendVarint(value.length);
    this.sink.append(value);
  }

  writeStringElement(value: string): void {
    this.writeBinaryElement(utf8.encode(value));
  }

  #writeField(id: number, type: number): void {
    const delta = id - this.#lastField[this.#depth]!;
    if (delta > 0 && delta < 16) {
      this.sink.appendByte((delta << 4) | type);
    } else {
      this.sink.appendByte(type);
      this.sink.appendZigzag(id);
    }
    this.#lastField[this.#depth] = id;
  }
}
