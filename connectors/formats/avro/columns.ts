/** One class for each way in which Avro 1.11, "Primitive Types" and "Logical Types", lays a value. */
import type { ColumnVector } from "../../../proto/columns.ts";
import { fixedWidthBytes, type ColumnSchema } from "../../../proto/schema.ts";
import { writeTime } from "../text/calendar.ts";
import { TWO_POW_32 } from "../text/digits.ts";
import {
  DataColumn,
  OffsetsColumn,
  WordsColumn,
  type AvroColumn,
} from "./column.ts";
import { measureInt, measureLong, writeInt, writeLong } from "./varint.ts";

const DASH = 45;
const hexDigits = new TextEncoder().encode("0123456789abcdef");

/** Shorter values are copied byte by byte, which costs less than a call. */
const SHORT_BYTES = 48;

export function createColumn({ type, nullable }: ColumnSchema): AvroColumn {
  switch (type.kind) {
    case "boolean":
      return new BooleanColumn(nullable);
    case "int16":
      return new Int16Column(nullable);
    case "int32":
    case "date":
      return new IntColumn(nullable, 1);
    case "int64":
    case "time":
    case "timestamp":
    case "timestamptz":
    case "timestampNs":
      return new LongColumn(nullable, 2);
    case "float32":
      return new FloatColumn(nullable, 1);
    case "float64":
      return new DoubleColumn(nullable, 2);
    case "uint64":
    case "decimal64":
    case "decimal128":
      return new DecimalColumn(
        nullable,
        fixedWidthBytes[type.kind] / 4,
        type.kind !== "uint64",
      );
    case "uuid":
      return new UuidColumn(nullable);
    case "timeNs":
      return new TimeNsColumn(nullable, 2);
    case "decimalText":
    case "text":
    case "json":
    case "binary":
      return new BytesColumn(nullable);
  }
}

/** Whether the row has a value. */
function isPresent(validity: Uint8Array | null, row: number): boolean {
  return validity === null || (validity[row >>> 3]! & (1 << (row & 7))) !== 0;
}

class BooleanColumn extends DataColumn {
  readonly fixedBytes = 1;

  protected writeValues(
    from: number,
    end: number,
    out: Uint8Array,
    _view: DataView,
    cursors: Int32Array,
  ): void {
    const { data, validity } = this;
    for (let row = from; row < end; row++)
      if (isPresent(validity, row))
        out[cursors[row - from]!++] = (data[row >>> 3]! >>> (row & 7)) & 1;
  }
}

class Int16Column extends DataColumn {
  readonly fixedBytes = 0;
  #values = new Int16Array(0);

  protected override bindData(vector: ColumnVector, rowCount: number): void {
    const { buffer, byteOffset } = vector.data;
    this.#values = new Int16Array(buffer as ArrayBuffer, byteOffset, rowCount);
  }

  protected override releaseData(): void {
    this.#values = new Int16Array(0);
  }

  protected override addValueSizes(
    from: number,
    end: number,
    sizes: Int32Array,
  ): void {
    const values = this.#values;
    for (let row = from; row < end; row++)
      if (isPresent(this.validity, row))
        sizes[row - from]! += measureInt(values[row]!);
  }

  protected writeValues(
    from: number,
    end: number,
    out: Uint8Array,
    _view: DataView,
    cursors: Int32Array,
  ): void {
    const values = this.#values;
    for (let row = from; row < end; row++)
      if (isPresent(this.validity, row))
        cursors[row - from] = writeInt(out, cursors[row - from]!, values[row]!);
  }
}

class IntColumn extends WordsColumn {
  readonly fixedBytes = 0;

  protected override addValueSizes(
    from: number,
    end: number,
    sizes: Int32Array,
  ): void {
    const { words, validity } = this;
    for (let row = from; row < end; row++)
      if (isPresent(validity, row))
        sizes[row - from]! += measureInt(words[row]!);
  }

  protected writeValues(
    from: number,
    end: number,
    out: Uint8Array,
    _view: DataView,
    cursors: Int32Array,
  ): void {
    const { words, validity } = this;
    for (let row = from; row < end; row++)
      if (isPresent(validity, row))
        cursors[row - from] = writeInt(out, cursors[row - from]!, words[row]!);
  }
}

class LongColumn extends WordsColumn {
  readonly fixedBytes = 0;

  protected override addValueSizes(
    from: number,
    end: number,
    sizes: Int32Array,
  ): void {
    const { words, validity } = this;
    for (let row = from; row < end; row++)
      if (isPresent(validity, row))
        sizes[row - from]! += measureLong(words[row * 2]!, words[row * 2 + 1]!);
  }

  protected writeValues(
    from: number,
    end: number,
    out: Uint8Array,
    _view: DataView,
    cursors: Int32Array,
  ): void {
    const { words, validity } = this;
    for (let row = from; row < end; row++)
      if (isPresent(validity, row))
        cursors[row - from] = writeLong(
          out,
          cursors[row - from]!,
          words[row * 2]!,
          words[row * 2 + 1]!,
        );
  }
}

class FloatColumn extends WordsColumn {
  readonly fixedBytes = 4;

  protected writeValues(
    from: number,
    end: number,
    _out: Uint8Array,
    view: DataView,
    cursors: Int32Array,
  ): void {
    const { words, validity } = this;
    for (let row = from; row < end; row++) {
      if (!isPresent(validity, row)) continue;
      view.setInt32(cursors[row - from]!, words[row]!, true);
      cursors[row - from]! += 4;
    }
  }
}

class DoubleColumn extends WordsColumn {
  readonly fixedBytes = 8;

  protected writeValues(
    from: number,
    end: number,
    _out: Uint8Array,
    view: DataView,
    cursors: Int32Array,
  ): void {
    const { words, validity } = this;
    for (let row = from; row < end; row++) {
      if (!isPresent(validity, row)) continue;
      const at = cursors[row - from]!;
      view.setInt32(at, words[row * 2]!, true);
      view.setInt32(at + 4, words[row * 2 + 1]!, true);
      cursors[row - from] = at + 8;
    }
  }
}

/** Big-endian two's complement, no longer than it has to be, as Java's BigInteger gives it; Avro 1.11, "Decimal". */
class DecimalColumn extends WordsColumn {
  readonly fixedBytes = 0;
  readonly #wordsEach: number;
  readonly #isSigned: boolean;

  constructor(nullable: boolean, wordsEach: number, isSigned: boolean) {
    super(nullable, wordsEach);
    this.#wordsEach = wordsEach;
    this.#isSigned = isSigned;
  }

  protected override addValueSizes(
    from: number,
    end: number,
    sizes: Int32Array,
  ): void {
    for (let row = from; row < end; row++)
      if (isPresent(this.validity, row))
        sizes[row - from]! += 1 + this.#measure(row);
  }

  protected writeValues(
    from: number,
    end: number,
    out: Uint8Array,
    _view: DataView,
    cursors: Int32Array,
  ): void {
    const { words, validity } = this;
    const wordsEach = this.#wordsEach;
    for (let row = from; row < end; row++) {
      if (!isPresent(validity, row)) continue;
      const bytes = this.#measure(row);
      let at = writeInt(out, cursors[row - from]!, bytes);
      const base = row * wordsEach;
      // only the ninth byte of a uint64 lies beyond its words: a zero
      for (let i = bytes - 1; i >= 0; i--)
        out[at++] =
          i >>> 2 < wordsEach ? words[base + (i >>> 2)]! >>> ((i & 3) * 8) : 0;
      cursors[row - from] = at;
    }
  }

  /** Bytes of the row's value. */
  #measure(row: number): number {
    const words = this.words;
    const base = row * this.#wordsEach;
    let word = this.#wordsEach - 1;
    const sign = this.#isSigned ? words[base + word]! >> 31 : 0;
    while (word > 0 && words[base + word] === sign) word--;
    const bits = word * 32 + 32 - Math.clz32(words[base + word]! ^ sign);
    // one bit more for the sign
    return (bits >>> 3) + 1;
  }
}

/** Text of 36 characters; Avro 1.11, "UUID". */
class UuidColumn extends DataColumn {
  readonly fixedBytes = 37;

  protected writeValues(
    from: number,
    end: number,
    out: Uint8Array,
    _view: DataView,
    cursors: Int32Array,
  ): void {
    const { data, validity } = this;
    for (let row = from; row < end; row++) {
      if (!isPresent(validity, row)) continue;
      let at = writeInt(out, cursors[row - from]!, 36);
      for (let i = 0; i < 16; i++) {
        if (i === 4 || i === 6 || i === 8 || i === 10) out[at++] = DASH;
        const byte = data[row * 16 + i]!;
        out[at++] = hexDigits[byte >>> 4]!;
        out[at++] = hexDigits[byte & 15]!;
      }
      cursors[row - from] = at;
    }
  }
}

/** Avro has no time of day in nanoseconds: ISO 8601 text, `10:00:00.000000001`. */
class TimeNsColumn extends WordsColumn {
  readonly fixedBytes = 19;

  protected writeValues(
    from: number,
    end: number,
    out: Uint8Array,
    _view: DataView,
    cursors: Int32Array,
  ): void {
    const { words, validity } = this;
    for (let row = from; row < end; row++) {
      if (!isPresent(validity, row)) continue;
      const value = words[row * 2 + 1]! * TWO_POW_32 + (words[row * 2]! >>> 0);
      const start = writeInt(out, cursors[row - from]!, 18);
      cursors[row - from] = writeTime(out, start, value, 1e9);
    }
  }
}

class BytesColumn extends OffsetsColumn {
  readonly fixedBytes = 0;

  protected override addValueSizes(
    from: number,
    end: number,
    sizes: Int32Array,
  ): void {
    const { offsets, validity } = this;
    for (let row = from; row < end; row++) {
      if (!isPresent(validity, row)) continue;
      const bytes = offsets[row + 1]! - offsets[row]!;
      sizes[row - from]! += measureInt(bytes) + bytes;
    }
  }

  protected writeValues(
    from: number,
    end: number,
    out: Uint8Array,
    _view: DataView,
    cursors: Int32Array,
  ): void {
    const { data, offsets, validity } = this;
    for (let row = from; row < end; row++) {
      if (!isPresent(validity, row)) continue;
      const start = offsets[row]!;
      const stop = offsets[row + 1]!;
      let at = writeInt(out, cursors[row - from]!, stop - start);
      if (stop - start > SHORT_BYTES) {
        out.set(data.subarray(start, stop), at);
        at += stop - start;
      } else for (let i = start; i < stop; i++) out[at++] = data[i]!;
      cursors[row - from] = at;
    }
  }
}
