/** What turns the bytes of an Avro value into one that people can read: made once from the schema of a file. */
import { formatDecimal } from "../text/digits.ts";
import type { AvroBytes } from "./avro-bytes.ts";
import {
  formatDate,
  formatHex,
  formatTime,
  formatTimestamp,
  formatUuid,
  readBigEndian,
  type TimeUnit,
} from "./value-text.ts";

export type ReadValue = (source: AvroBytes) => unknown;

/** Schemas within schemas, and values within values. */
const DEPTH_MAX = 64;
/** Items without a byte each, e.g. nulls, of one array; others are bounded by the bytes. */
const EMPTY_ITEMS_MAX = 1 << 24;

interface SchemaObject {
  readonly type: unknown;
  readonly name?: string;
  readonly namespace?: string;
  readonly logicalType?: string;
  readonly precision?: number;
  readonly scale?: number;
  readonly size?: number;
  readonly symbols?: readonly string[];
  readonly items?: unknown;
  readonly values?: unknown;
  readonly fields?: readonly (SchemaObject & { sourceName?: unknown })[];
}

/** @param schema what `JSON.parse` made of the header's text */
export function createValueReader(schema: unknown): ReadValue {
  return createReader(schema, "", new Map(), 0);
}

/** @param known readers by full name; one that is being made is called when values are read, so types may hold themselves */
function createReader(
  schema: unknown,
  namespace: string,
  known: Map<string, ReadValue>,
  depth: number,
): ReadValue {
  if (depth > DEPTH_MAX) throw new RangeError("its schema is too deep");
  if (Array.isArray(schema)) {
    const branches = schema.map((branch: unknown) =>
      createReader(branch, namespace, known, depth + 1),
    );
    return (source) => {
      const branch = source.readCount();
      const read = branches[branch];
      if (!read) throw new RangeError(`there is no branch ${branch}`);
      return read(source);
    };
  }
  if (typeof schema === "string")
    return createNamedReader(schema, namespace, known);
  if (typeof schema !== "object" || schema === null)
    throw new TypeError("its schema is none");
  const object = schema as SchemaObject;
  const { type } = object;
  switch (type) {
    case "record":
    case "error":
      return createRecordReader(object, namespace, known, depth);
    case "enum": {
      const symbols = object.symbols ?? [];
      return define(object, namespace, known, (source) => {
        const index = source.readCount();
        if (symbols[index] === undefined)
          throw new RangeError(`there is no symbol ${index}`);
        return symbols[index];
      });
    }
    case "fixed": {
      const size = object.size ?? -1;
      const format = createBytesFormatter(object);
      return define(object, namespace, known, (source) =>
        format(source.take(size)),
      );
    }
    case "array": {
      const item = createReader(object.items, namespace, known, depth + 1);
      return (source) => {
        const items: unknown[] = [];
        readBlocks(source, () => items.push(item(source)));
        return items;
      };
    }
    case "map": {
      const value = createReader(object.values, namespace, known, depth + 1);
      return (source) => {
        const entries: [string, unknown][] = [];
        readBlocks(source, () =>
          entries.push([source.readText(), value(source)]),
        );
        return Object.fromEntries(entries);
      };
    }
    default:
      return typeof type === "string"
        ? (createPrimitiveReader(type, object) ??
            createNamedReader(type, namespace, known))
        : createReader(type, namespace, known, depth + 1);
  }
}

function createRecordReader(
  schema: SchemaObject,
  namespace: string,
  known: Map<string, ReadValue>,
  depth: number,
): ReadValue {
  const inner = findNamespace(schema, namespace);
  let fields: (readonly [string, ReadValue])[] = [];
  let nesting = 0;
  const read = define(schema, namespace, known, (source) => {
    if (++nesting > DEPTH_MAX) throw new RangeError("its values are too deep");
    const entries = fields.map(([name, value]) => [name, value(source)]);
    nesting--;
    return Object.fromEntries(entries) as unknown;
  });
  fields = (schema.fields ?? []).map(({ name, type, sourceName }) => [
    typeof sourceName === "string" ? sourceName : String(name),
    createReader(type, inner, known, depth + 1),
  ]);
  return read;
}

function createNamedReader(
  name: string,
  namespace: string,
  known: ReadonlyMap<string, ReadValue>,
): ReadValue {
  const read =
    createPrimitiveReader(name, { type: name }) ??
    known.get(name.includes(".") ? name : `${namespace}.${name}`) ??
    known.get(name);
  if (!read) throw new TypeError(`its schema has no type ${name}`);
  return read;
}

function define(
  schema: SchemaObject,
  namespace: string,
  known: Map<string, ReadValue>,
  read: ReadValue,
): ReadValue {
  const name = String(schema.name);
  const full = name.includes(".")
    ? name
    : `${findNamespace(schema, namespace)}.${name}`;
  known.set(full, read);
  return read;
}

function findNamespace(schema: SchemaObject, namespace: string): string {
  const name = String(schema.name);
  if (name.includes(".")) return name.slice(0, name.lastIndexOf("."));
  return schema.namespace ?? namespace;
}

/** Blocks of items until an empty one; a negative count is followed by the block's bytes. */
function readBlocks(source: AvroBytes, readItem: () => void): void {
  let emptyItems = 0;
  for (;;) {
    let count = source.readCount();
    if (count === 0) return;
    if (count < 0) {
      count = -count;
      source.readCount();
    }
    for (let i = 0; i < count; i++) {
      const before = source.at;
      readItem();
      if (source.at === before && ++emptyItems > EMPTY_ITEMS_MAX)
        throw new RangeError(`an array of ${count} items without bytes`);
    }
  }
}

function createPrimitiveReader(
  type: string,
  schema: SchemaObject,
): ReadValue | null {
  switch (type) {
    case "null":
      return () => null;
    case "boolean":
      return (source) => source.readByte() !== 0;
    case "int":
    case "long": {
      const format = createIntegerFormatter(schema);
      return (source) => format(source.readLong());
    }
    case "float":
      return (source) => source.take(4).readFloatLE();
    case "double":
      return (source) => source.take(8).readDoubleLE();
    case "string":
      return (source) => source.readText();
    case "bytes": {
      const format = createBytesFormatter(schema);
      return (source) => format(source.readBytes());
    }
    default:
      return null;
  }
}

function createIntegerFormatter({
  logicalType = "",
}: SchemaObject): (value: number | bigint) => unknown {
  if (logicalType === "date") return (value) => formatDate(Number(value));
  const [, local, what, unitName] =
    /^(local-)?(timestamp|time)-(millis|micros|nanos)$/.exec(logicalType) ?? [];
  if (unitName === undefined) return (value) => value;
  const unit = unitName.toUpperCase() as TimeUnit;
  if (what === "timestamp")
    return (value) => formatTimestamp(BigInt(value), unit, local === undefined);
  const factor = unit === "MILLIS" ? 1000 : 1;
  return (value) =>
    formatTime(Number(value) * factor, unit === "NANOS" ? 1e9 : 1e6);
}

function createBytesFormatter({
  logicalType,
  scale = 0,
}: SchemaObject): (bytes: Buffer) => unknown {
  if (logicalType === "decimal")
    return (bytes) => formatDecimal(readBigEndian(bytes), scale);
  if (logicalType === "uuid") return formatUuid;
  return formatHex;
}
