/** What the rows of a table look like in the engine's frames, as `proto/log.proto` has it. */
import { tagOf, wire, WireFault, WireReader } from "./wire.ts";

/** How a value stands in a row; the numbers are those of `proto/log.proto`. */
export const fieldType = {
  json: 0,
  boolean: 1,
  int32: 2,
  int64: 3,
  float32: 4,
  float64: 5,
  text: 6,
  number: 7,
  bytes: 8,
} as const;

export type FieldType = (typeof fieldType)[keyof typeof fieldType];

/** By type. */
export const wireTypes: Readonly<Record<FieldType, number>> = {
  [fieldType.json]: wire.length,
  [fieldType.boolean]: wire.varint,
  [fieldType.int32]: wire.varint,
  [fieldType.int64]: wire.fixed64,
  [fieldType.float32]: wire.fixed32,
  [fieldType.float64]: wire.fixed64,
  [fieldType.text]: wire.length,
  [fieldType.number]: wire.length,
  [fieldType.bytes]: wire.length,
};

export interface ShapeField {
  readonly name: string;
  readonly type: FieldType;
  /** In a row: its number and its wire type, as one or two bytes; the second is 0 where there is one. */
  readonly firstByte: number;
  readonly secondByte: number;
}

export interface Shape {
  readonly number: number;
  readonly topic: string;
  readonly namespace: string;
  readonly table: string;
  readonly row: readonly ShapeField[];
  /** Empty: the table has no key. */
  readonly key: readonly ShapeField[];
}

/** By their numbers; never changed, so that events are read by those that were told before them. */
export type Shapes = readonly (Shape | undefined)[];

/** Of one engine: it begins again with the first when it has told so many. */
const SHAPES_MAX = 10_001;
const FIELDS_MAX = 2_000;

const tags = {
  number: tagOf(1, wire.varint),
  topic: tagOf(2, wire.length),
  namespace: tagOf(3, wire.length),
  table: tagOf(4, wire.length),
  row: tagOf(5, wire.length),
  key: tagOf(6, wire.length),
};
const fieldTags = { name: tagOf(1, wire.length), type: tagOf(2, wire.varint) };

/** The shapes with the one that is told at `[start, end)`. @throws WireFault */
export function addShape(
  shapes: Shapes,
  bytes: Uint8Array,
  start: number,
  end: number,
): Shapes {
  const shape = readShape(new WireReader().read(bytes, start, end));
  const added = [...shapes];
  added[shape.number] = shape;
  return added;
}

function readShape(reader: WireReader): Shape {
  let number = 0;
  const texts = { topic: "", namespace: "", table: "" };
  const row: ShapeField[] = [];
  const key: ShapeField[] = [];
  while (reader.isMore) {
    const tag = reader.readVarint();
    if (tag === tags.number) number = reader.readVarint();
    else if (tag === tags.topic) texts.topic = reader.readText();
    else if (tag === tags.namespace) texts.namespace = reader.readText();
    else if (tag === tags.table) texts.table = reader.readText();
    else if (tag === tags.row) row.push(readField(reader, row.length));
    else if (tag === tags.key) key.push(readField(reader, key.length));
    else throw new WireFault(`a shape has no field with the tag ${tag}`);
  }
  for (const fields of [row, key])
    if (new Set(fields.map(({ name }) => name)).size < fields.length)
      throw new WireFault("a shape has two fields with one name");
  if (number < 1 || number > SHAPES_MAX)
    throw new WireFault(`${number} is no number of a shape`);
  return { number, ...texts, row, key };
}

function readField(outer: WireReader, index: number): ShapeField {
  if (index === FIELDS_MAX)
    throw new WireFault(`a shape has more than ${FIELDS_MAX} fields`);
  const behind = outer.readLength();
  const reader = new WireReader().read(outer.bytes, outer.at, behind);
  outer.at = behind;
  let name: string | null = null;
  let type = 0;
  while (reader.isMore) {
    const tag = reader.readVarint();
    if (tag === fieldTags.name) name = reader.readText();
    else if (tag === fieldTags.type) type = reader.readVarint();
    else throw new WireFault(`a field has none with the tag ${tag}`);
  }
  if (name === null || !isFieldType(type))
    throw new WireFault("a field has no name, or no type that is known");
  const tag = tagOf(index + 1, wireTypes[type]);
  return {
    name,
    type,
    firstByte: tag < 128 ? tag : (tag & 127) | 128,
    secondByte: tag >> 7,
  };
}

function isFieldType(type: number): type is FieldType {
  return Object.hasOwn(wireTypes, type);
}
