/**
 * Columns as properties of a JSON schema, and back: how the Airbyte protocol says what a stream's values are.
 *
 * A property of ours carries, beside the words of the protocol, which of our types it is (`millrace_type`): the protocol
 * has one `number` where we have floats and decimals of a precision. Whoever does not know the word ignores it.
 * @see https://docs.airbyte.com/platform/understanding-airbyte/supported-data-types
 */
import {
  fixedWidthBytes,
  type LogicalKind,
  type LogicalType,
} from "../../proto/schema.ts";

/** A property of a stream's schema, e.g. `{ type: ["null", "string"], format: "date" }`. */
export interface JsonProperty {
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly airbyte_type?: string;
  readonly contentEncoding?: string;
  readonly millrace_type?: string;
}

export interface JsonSchema {
  readonly type: "object";
  readonly properties: Readonly<Record<string, JsonProperty>>;
  readonly additionalProperties?: boolean;
}

type Words = Omit<JsonProperty, "type" | "millrace_type"> & {
  readonly type: string;
};

const noWords = {} as const;

/** `json` is any value. */
const wordsOfKind: Readonly<
  Record<LogicalKind, Words | Record<string, never>>
> = {
  boolean: { type: "boolean" },
  int16: { type: "number", airbyte_type: "integer" },
  int32: { type: "number", airbyte_type: "integer" },
  int64: { type: "number", airbyte_type: "integer" },
  uint64: { type: "number", airbyte_type: "integer" },
  float32: { type: "number" },
  float64: { type: "number" },
  decimal64: { type: "number" },
  decimal128: { type: "number" },
  decimalText: { type: "number" },
  date: { type: "string", format: "date" },
  time: {
    type: "string",
    format: "time",
    airbyte_type: "time_without_timezone",
  },
  timeNs: {
    type: "string",
    format: "time",
    airbyte_type: "time_without_timezone",
  },
  timestamp: {
    type: "string",
    format: "date-time",
    airbyte_type: "timestamp_without_timezone",
  },
  timestampNs: {
    type: "string",
    format: "date-time",
    airbyte_type: "timestamp_without_timezone",
  },
  timestamptz: {
    type: "string",
    format: "date-time",
    airbyte_type: "timestamp_with_timezone",
  },
  uuid: { type: "string" },
  text: { type: "string" },
  json: noWords,
  binary: { type: "string", contentEncoding: "base64" },
};

/** The property that says what a column's values are. */
export function describeColumn({
  type,
  nullable,
}: {
  readonly type: LogicalType;
  readonly nullable: boolean;
}): JsonProperty {
  const words = wordsOfKind[type.kind];
  const millrace_type = describeType(type);
  if (!("type" in words)) return { millrace_type };
  return {
    ...words,
    type: nullable ? ["null", words.type] : words.type,
    millrace_type,
  };
}

/** The schema of a stream's records. */
export function describeColumns(
  columns: readonly {
    readonly name: string;
    readonly type: LogicalType;
    readonly nullable: boolean;
  }[],
): JsonSchema {
  return {
    type: "object",
    properties: Object.fromEntries(
      columns.map((column) => [column.name, describeColumn(column)]),
    ),
  };
}

/** `decimal64(18,2)`; `text`. */
function describeType({ kind, precision, scale }: LogicalType): string {
  return precision === undefined ? kind : `${kind}(${precision},${scale ?? 0})`;
}

/** What a number without a word about its size becomes. */
export type NumberType = "float64" | "decimalText";

/**
 * The type that holds every value that the property allows: what more than one type of column could hold is `json`.
 * A number is what `numbers` says, an integer has 64 bits, a time with its zone is text.
 */
export function readProperty(
  property: unknown,
  numbers: NumberType = "float64",
): LogicalType {
  if (typeof property !== "object" || property === null)
    return { kind: "json" };
  const words = property as Readonly<Record<string, unknown>>;
  const inner = findOnlyMember(words);
  if (inner !== null) return readProperty(inner, numbers);
  const types = readTypes(words);
  const [only, another] = [...types];
  if (only === undefined || another !== undefined)
    return types.size === 2 && types.has("integer") && types.has("number")
      ? { kind: numbers }
      : { kind: "json" };
  const own = readOwnType(words.millrace_type, only);
  if (own !== null) return own;
  switch (only) {
    case "boolean":
      return { kind: "boolean" };
    case "integer":
      return readNumber(words, "int64");
    case "number":
      return readNumber(words, numbers);
    case "string":
      return readString(words);
    default:
      return { kind: "json" };
  }
}

/** How a property reads, for people. */
export function showProperty(property: unknown): string {
  if (typeof property !== "object" || property === null) return "any";
  const words = property as Readonly<Record<string, unknown>>;
  const types = [...readTypes(words)].join("|");
  const more = [words.airbyte_type ?? words.format ?? words.contentEncoding]
    .filter((word) => typeof word === "string")
    .join();
  return [types || "any", more].filter((part) => part !== "").join(" ");
}

/** The one member of a union that is not null; null where there is no union, or more of them. */
function findOnlyMember(
  words: Readonly<Record<string, unknown>>,
): Record<string, unknown> | null {
  const union = words["oneOf"] ?? words["anyOf"];
  if (words["type"] !== undefined || !Array.isArray(union)) return null;
  const members = union.filter(
    (member): member is Record<string, unknown> =>
      typeof member === "object" && member !== null && member.type !== "null",
  );
  const [only, another] = members;
  return only !== undefined && another === undefined ? only : null;
}

/** Without `null`; nothing of what a union says of its members. */
function readTypes(words: Readonly<Record<string, unknown>>): Set<string> {
  const { type } = words;
  const listed = Array.isArray(type) ? type : [type];
  const types = new Set(
    listed.filter((one): one is string => typeof one === "string"),
  );
  types.delete("null");
  return types;
}

function readNumber(
  words: Readonly<Record<string, unknown>>,
  plain: LogicalKind,
): LogicalType {
  if (words.airbyte_type === "integer") return { kind: "int64" };
  if (words.airbyte_type === "big_integer") return { kind: "decimalText" };
  return { kind: plain };
}

function readString({
  format,
  airbyte_type: airbyteType,
  contentEncoding,
}: Readonly<Record<string, unknown>>): LogicalType {
  if (contentEncoding === "base64") return { kind: "binary" };
  switch (airbyteType) {
    case "timestamp_with_timezone":
      return { kind: "timestamptz" };
    case "timestamp_without_timezone":
      return { kind: "timestamp" };
    case "time_without_timezone":
      return { kind: "time" };
    case "time_with_timezone":
      return { kind: "text" };
    case "big_integer":
    case "big_number":
      return { kind: "decimalText" };
    default:
  }
  switch (format) {
    case "date":
      return { kind: "date" };
    case "date-time":
      return { kind: "timestamptz" };
    case "time":
      // without a word about its zone
      return { kind: "text" };
    default:
      return { kind: "text" };
  }
}

/** Kinds of ours that a value of each JSON type can be. */
const kindsOfType: Readonly<Record<string, readonly LogicalKind[]>> = {
  boolean: ["boolean"],
  integer: ["int16", "int32", "int64", "uint64"],
  number: [
    "int16",
    "int32",
    "int64",
    "uint64",
    "float32",
    "float64",
    "decimal64",
    "decimal128",
    "decimalText",
  ],
  string: [
    "date",
    "time",
    "timeNs",
    "timestamp",
    "timestampNs",
    "timestamptz",
    "uuid",
    "text",
    "binary",
  ],
};

/** Null where the word is not ours, or says what the rest of the property denies. */
function readOwnType(word: unknown, jsonType: string): LogicalType | null {
  if (typeof word !== "string") return null;
  const match = /^([a-z0-9A-Z]+)(?:\((\d{1,2}),(\d{1,2})\))?$/.exec(word);
  const kind = match?.[1] ?? "";
  if (!isKind(kind) || !kindsOfType[jsonType]?.includes(kind)) return null;
  const isDecimal = kind === "decimal64" || kind === "decimal128";
  if (!isDecimal) return match?.[2] === undefined ? { kind } : null;
  const precision = Number(match?.[2]);
  const scale = Number(match?.[3]);
  const precisionMax = kind === "decimal64" ? 18 : 38;
  return precision >= 1 && precision <= precisionMax && scale <= precision
    ? { kind, precision, scale }
    : null;
}

function isKind(text: string): text is LogicalKind {
  return Object.hasOwn(fixedWidthBytes, text);
}
