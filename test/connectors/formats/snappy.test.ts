import fc from "fast-check";
import { snappyUncompress } from "hyparquet";
import { expect, test } from "vitest";
import {
  compressSnappy,
  snappyBytesMax,
} from "../../../connectors/formats/snappy.ts";

/** Compresses within the promised bound, with bytes behind it that must stay, and reads back. */
function roundTrip(bytes: Uint8Array): { back: Uint8Array; length: number } {
  const bound = snappyBytesMax(bytes.length);
  const out = new Uint8Array(bound + 8).fill(0xee);
  const length = compressSnappy(bytes, out);
  expect(length).toBeLessThanOrEqual(bound);
  expect(out.subarray(bound)).toEqual(new Uint8Array(8).fill(0xee));
  const back = new Uint8Array(bytes.length);
  if (bytes.length > 0) snappyUncompress(out.subarray(0, length), back);
  return { back, length };
}

test.for([
  { name: "nothing", bytes: "", golden: "00" },
  { name: "one byte", bytes: "a", golden: "010061" },
  {
    name: "a literal of 61 bytes, whose length needs a byte",
    bytes: Array.from({ length: 61 }, (_, i) =>
      String.fromCharCode(48 + i),
    ).join(""),
    golden: `3df03c${Array.from({ length: 61 }, (_, i) => (48 + i).toString(16)).join("")}`,
  },
  // literal "a", then copies at distance 1: 63 bytes as 63 in one element
  { name: "a run", bytes: "a".repeat(64), golden: "400061fa0100" },
])("$name has its bytes", ({ bytes, golden }) => {
  const source = Buffer.from(bytes);
  const out = new Uint8Array(snappyBytesMax(source.length));
  const length = compressSnappy(source, out);
  expect(Buffer.from(out.subarray(0, length)).toString("hex")).toBe(golden);
});

test("any bytes come back", () => {
  const pieces = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc
        .tuple(fc.uint8Array({ minLength: 1, maxLength: 9 }), fc.nat(400))
        .map(([part, times]) => Buffer.concat(Array(times).fill(part))),
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(pieces, (parts) => {
      const bytes = new Uint8Array(Buffer.concat(parts));
      expect(roundTrip(bytes).back).toEqual(bytes);
    }),
  );
});

test("lengths around a fragment's come back", () => {
  for (const length of [65_535, 65_536, 65_537, 131_072, 200_000]) {
    const text = new Uint8Array(length).map((_, i) => (i * i) % 61);
    const { back, length: compressed } = roundTrip(text);
    expect(Buffer.compare(back, text)).toBe(0);
    expect(compressed).toBeLessThan(length / 4);
    let state = length;
    const noise = text.map(() => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return state >>> 16;
    });
    expect(Buffer.compare(roundTrip(noise).back, noise)).toBe(0);
  }
});
