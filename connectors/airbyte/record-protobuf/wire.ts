/**
 * The field numbers of Airbyte's protobuf messages (package `io.airbyte.protocol.protobuf`), and the tags that they make
 * with their wire types. Values are those of the current generation: integers are zigzag, dates and times are numbers.
 * @see airbytehq/airbyte-protocol, `protocol-models/src/main/resources/airbyte_protocol/v0/airbyte_message.proto`
 */

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;

function tag(field: number, wireType: number): number {
  return field * 8 + wireType;
}

/** AirbyteMessageProtobuf: one of these. */
export const envelopeTags = {
  record: tag(1, LENGTH),
  /** A complete message as JSON: states, traces. */
  message: tag(2, LENGTH),
  probe: tag(3, LENGTH),
} as const;

/** AirbyteRecordMessageProtobuf. */
export const recordTags = {
  namespace: tag(1, LENGTH),
  name: tag(2, LENGTH),
  emittedAtMs: tag(3, VARINT),
  partitionId: tag(4, LENGTH),
  /** Repeated: one value for each column, in the order of their names. */
  data: tag(5, LENGTH),
  meta: tag(6, LENGTH),
} as const;

/** AirbyteRecordMessageMeta. */
export const metaTags = {
  /** Repeated. */
  changes: tag(1, LENGTH),
} as const;

/** Of `changes`. */
export const changeTags = {
  field: tag(1, LENGTH),
  change: tag(2, VARINT),
  reason: tag(3, VARINT),
} as const;

/** AirbyteValueProtobuf: one of these. */
export const valueTags = {
  boolean: tag(1, VARINT),
  text: tag(2, LENGTH),
  /** Zigzag; within 63 bits. */
  integer: tag(3, VARINT),
  /** Decimal digits, of what has more. */
  bigInteger: tag(4, LENGTH),
  number: tag(5, FIXED64),
  /** Digits without an exponent. */
  bigDecimal: tag(6, LENGTH),
  /** Zigzag; days since 1970-01-01. */
  date: tag(7, VARINT),
  /** Nanoseconds since midnight. */
  time: tag(9, VARINT),
  timestampUtc: tag(10, LENGTH),
  timestamp: tag(11, LENGTH),
  /** UTF-8. */
  json: tag(12, LENGTH),
  /** A bool in one generation, a member of an enum in the other: present and 1 is null in both. */
  isNull: tag(13, VARINT),
} as const;

/** OffsetDateTime, of `timestampUtc`: seconds since 1970 (zigzag), and nanoseconds. */
export const offsetDateTimeTags = {
  epochSecond: tag(1, VARINT),
  nano: tag(2, VARINT),
} as const;

/** LocalDateTime, of `timestamp`: days since 1970 (zigzag), and nanoseconds since midnight. */
export const localDateTimeTags = {
  days: tag(1, VARINT),
  nanosOfDay: tag(2, VARINT),
} as const;
