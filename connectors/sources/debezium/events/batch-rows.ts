/** Rows in the engine's frames, field by field: what is not done for every row of a table. */
import { wireTypes, type ShapeField } from "./batch-shapes.ts";
import { wire, WireFault, WireReader } from "./wire.ts";

export class RowCursor {
  readonly #reader = new WireReader();
  bytes: Uint8Array = new Uint8Array(0);
  /** Of the value that was taken last: its bytes, without their length. */
  start = 0;
  end = 0;

  begin(bytes: Uint8Array, start: number, end: number): this {
    this.bytes = bytes;
    this.#reader.read(bytes, start, end);
    return this;
  }

  /** Whether the row's next field is this one, whose value is then taken. @throws WireFault */
  take({ firstByte, secondByte, type }: ShapeField): boolean {
    const reader = this.#reader;
    const { bytes, at, end } = reader;
    if (at >= end || bytes[at] !== firstByte) return false;
    if (secondByte !== 0) {
      if (at + 1 >= end || bytes[at + 1] !== secondByte) return false;
      reader.at++;
    }
    reader.at++;
    this.start = reader.at;
    switch (wireTypes[type]) {
      case wire.varint:
        reader.readVarint();
        this.end = reader.at;
        break;
      case wire.length:
        this.end = reader.readLength();
        this.start = reader.at;
        break;
      default:
        this.end = reader.at + (wireTypes[type] === wire.fixed64 ? 8 : 4);
        if (this.end > end) throw new WireFault("a number is cut off");
    }
    reader.at = this.end;
    return true;
  }

  /** The same of the field with this index, behind those before it. */
  find(fields: readonly ShapeField[], index: number): boolean {
    for (const [i, field] of fields.entries()) {
      const isThere = this.take(field);
      if (i === index) return isThere;
    }
    return false;
  }

  /** @throws WireFault where something is left */
  finish(): void {
    if (this.#reader.isMore) throw new WireFault("a row has a field too many");
  }
}
