/**
 * Definition levels of a flat, nullable column: one bit a row, which the validity bitmap already is.
 * @see Parquet "Encodings.md", RLE / bit-packing hybrid (RLE = 3)
 */
import type { ColumnVector } from "../../../proto/columns.ts";
import type { ByteSink } from "../byte-sink.ts";

/**
 * Appends the levels of a page as DATA_PAGE holds them: a four-byte length, then either one run (all present, all
 * null) or one bit-packed run that is the bitmap as it stands.
 */
export function appendDefinitionLevels(
  sink: ByteSink,
  vector: ColumnVector,
  rowCount: number,
): void {
  sink.reserve(16);
  const lengthAt = sink.length;
  sink.length += 4;
  if (vector.nullCount === 0 || vector.nullCount === rowCount) {
    sink.appendVarint(rowCount * 2);
    sink.appendByte(vector.nullCount === 0 ? 1 : 0);
  } else {
    const bitmapBytes = (rowCount + 7) >>> 3;
    sink.appendVarint(bitmapBytes * 2 + 1);
    sink.append(vector.validity!.subarray(0, bitmapBytes));
    // the bits behind the last row are nobody's: zero, so that equal rows give equal files
    const tailBits = rowCount & 7;
    if (tailBits !== 0) sink.bytes[sink.length - 1]! &= (1 << tailBits) - 1;
  }
  sink.view.setInt32(lengthAt, sink.length - lengthAt - 4, true);
}
