/** Hides the most of values, and leaves what people need to recognise them; NULL stays NULL. */
import type { ColumnVector } from "../../proto/columns.ts";
import { ByteSink } from "../formats/byte-sink.ts";
import type { MapperStep } from "./config.ts";
import { mapColumns, type PlannedStep, type StepContext } from "./step.ts";
import { ValueBytes } from "./value-bytes.ts";

const STAR = 42;
const AT_SIGN = 64;
/** What stands for the rest of an address's name, whatever its length. */
const STARS = 3;

/** Appends the masked value to the sink. */
type MaskValue = (values: ValueBytes, sink: ByteSink) => void;

export function planMask(
  { columns, keepLast, text, email }: NonNullable<MapperStep["mask"]>,
  context: StepContext,
): PlannedStep {
  const path = ["mask", "columns"];
  const indexes = context.findEach(columns, path);
  const masked = new Map<number, ValueBytes>();
  for (const i of indexes) {
    const tracked = context.columns[i]!;
    const { name, type } = tracked.column;
    context.checkGone(tracked, "masked", path);
    if (email && type.kind !== "text")
      context.fail(path, `${name} is a ${type.kind}: only text has addresses`);
    if (keepLast !== undefined && type.kind === "binary")
      context.fail(path, `${name} is binary, which has no characters to keep`);
    masked.set(i, new ValueBytes(type));
  }
  const mask: MaskValue =
    text !== undefined
      ? replaceBy(Buffer.from(text, "utf8"))
      : email
        ? maskAddress
        : keepCharacters(keepLast ?? 0);
  return {
    columns: context.columns.map((tracked, i) =>
      masked.has(i)
        ? {
            ...tracked,
            keyIndex: null,
            column: {
              ...tracked.column,
              type: { kind: "text" },
              sourceType: `masked(${tracked.column.sourceType})`,
            },
          }
        : tracked,
    ),
    apply: mapColumns(indexes, (vector, rowCount, i) =>
      maskColumn(masked.get(i)!, mask, vector, rowCount),
    ),
  };
}

function maskColumn(
  values: ValueBytes,
  mask: MaskValue,
  vector: ColumnVector,
  rowCount: number,
): ColumnVector {
  const sink = new ByteSink(vector.data.length + rowCount);
  const offsets = new Int32Array(rowCount + 1);
  values.bind(vector, rowCount);
  for (let row = 0; row < rowCount; row++) {
    if (values.locate(row)) mask(values, sink);
    offsets[row + 1] = sink.length;
  }
  values.unbind();
  const { nullCount, validity } = vector;
  return { nullCount, validity, offsets, data: sink.written() };
}

function replaceBy(text: Uint8Array): MaskValue {
  return (_values, sink) => sink.append(text);
}

/** The last `count` characters stay; where there are no more than these, none does. */
function keepCharacters(count: number): MaskValue {
  return ({ bytes, start, end }, sink) => {
    let kept = end;
    for (let left = count; left > 0 && kept > start; left--)
      kept = stepBack(bytes, start, kept);
    const from = kept === start ? end : kept;
    sink.reserve(end - start);
    for (let i = start; i < from; i++)
      if (isFirstByte(bytes[i]!)) sink.appendByte(STAR);
    for (let i = from; i < end; i++) sink.appendByte(bytes[i]!);
  };
}

/** The first character of the name and all of the domain; text without a name or domain is hidden whole. */
function maskAddress({ bytes, start, end }: ValueBytes, sink: ByteSink): void {
  let at = end - 1;
  while (at > start && bytes[at] !== AT_SIGN) at--;
  const isAddress = end > start && bytes[at] === AT_SIGN && at > start;
  let second = start + 1;
  while (second < at && !isFirstByte(bytes[second]!)) second++;
  sink.reserve(end - start + STARS);
  // a name of one character would be whole
  if (isAddress && second < at)
    for (let i = start; i < second; i++) sink.appendByte(bytes[i]!);
  for (let i = 0; i < STARS; i++) sink.appendByte(STAR);
  if (isAddress) for (let i = at; i < end; i++) sink.appendByte(bytes[i]!);
}

/** The start of the UTF-8 character that ends at `end`. */
function stepBack(bytes: Uint8Array, start: number, end: number): number {
  let at = end - 1;
  while (at > start && !isFirstByte(bytes[at]!)) at--;
  return at;
}

function isFirstByte(byte: number): boolean {
  return (byte & 0xc0) !== 0x80;
}
