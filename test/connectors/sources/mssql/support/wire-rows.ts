/**
 * Row tokens as a server writes them, from plain values and the public MS-TDS specification, for tests of the
 * decoders. What a value is to be read as stands beside what is written, so that both are said once and by hand.
 */
import fc from "fast-check";
import type { LogicalKind } from "../../../../../proto/schema.ts";
import {
  batchCapacity,
  BatchSet,
} from "../../../../../connectors/sources/batches/batch-set.ts";
import type { RowDecoder } from "../../../../../connectors/sources/mssql/decode/decoder.ts";
import type { FieldPlan } from "../../../../../connectors/sources/mssql/decode/plan.ts";
import {
  matchColumns,
  type DescribedColumn,
} from "../../../../../connectors/sources/mssql/decode/wire-columns.ts";
import { readRows } from "../../postgres/support/wire-rows.ts";

/** As `readRows` gives it: bigint for 64 bits and decimals, hexadecimal digits for bytes and GUIDs. */
export type TestValue = boolean | number | bigint | string | null;

/** A type as COLMETADATA describes it, and values of it in both forms. */
export interface WireType {
  readonly title: string;
  readonly column: DescribedColumn;
  readonly logical: LogicalKind;
  readonly precision?: number;
  readonly scale?: number;
  readonly codePage?: number;
  /** Bytes of a value with their length in front, and what is read; null bytes: the type has no NULL of its own. */
  readonly null: Buffer | null;
  readonly values: fc.Arbitrary<readonly [bytes: Buffer, read: TestValue]>;
}

export function describe(
  typeId: number,
  options: Partial<Omit<DescribedColumn, "typeId">> = {},
): DescribedColumn {
  return {
    typeId,
    dataLength: options.dataLength,
    precision: options.precision,
    scale: options.scale,
  };
}

export function littleEndian(value: bigint, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  let rest = BigInt.asUintN(8 * bytes, value);
  for (let i = 0; i < bytes; i++) {
    buffer[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return buffer;
}

/** A byte of length in front. */
function short(value: Buffer): Buffer {
  return Buffer.concat([Buffer.of(value.length), value]);
}

/** Two bytes of length in front. */
export function long(value: Buffer): Buffer {
  return Buffer.concat([littleEndian(BigInt(value.length), 2), value]);
}

/** A length and chunks of at most `chunkBytes`. */
export function plp(value: Buffer, chunkBytes: number, isKnown = true): Buffer {
  const parts = [
    isKnown
      ? littleEndian(BigInt(value.length), 8)
      : littleEndian(0xffff_ffff_ffff_fffen, 8),
  ];
  for (let at = 0; at < value.length; at += chunkBytes) {
    const chunk = value.subarray(at, at + chunkBytes);
    parts.push(littleEndian(BigInt(chunk.length), 4), chunk);
  }
  parts.push(Buffer.alloc(4));
  return Buffer.concat(parts);
}

/** A text pointer, a timestamp, four bytes of length. */
function pointed(value: Buffer): Buffer {
  return Buffer.concat([
    Buffer.of(16),
    Buffer.alloc(16, 7),
    Buffer.alloc(8, 9),
    littleEndian(BigInt(value.length), 4),
    value,
  ]);
}

const plpNull = Buffer.alloc(8, 0xff);
const shortNull = Buffer.of(0);
const longNull = Buffer.of(0xff, 0xff);

function integers(bytes: number, isSigned: boolean): fc.Arbitrary<bigint> {
  const bits = BigInt(8 * bytes);
  return isSigned
    ? fc.bigInt({ min: -(1n << (bits - 1n)), max: (1n << (bits - 1n)) - 1n })
    : fc.bigInt({ min: 0n, max: (1n << bits) - 1n });
}

function integer(
  title: string,
  fixedId: number,
  bytes: number,
  logical: LogicalKind,
  isSigned = true,
): WireType[] {
  const read = (value: bigint): TestValue =>
    logical === "int64" ? value : Number(value);
  const base = { logical };
  return [
    {
      ...base,
      title: `${title} NOT NULL`,
      column: describe(fixedId),
      null: null,
      values: integers(bytes, isSigned).map(
        (value) => [littleEndian(value, bytes), read(value)] as const,
      ),
    },
    {
      ...base,
      title,
      column: describe(0x26, { dataLength: bytes }),
      null: shortNull,
      values: integers(bytes, isSigned).map(
        (value) => [short(littleEndian(value, bytes)), read(value)] as const,
      ),
    },
  ];
}

export function decimal(precision: number, scale: number): WireType {
  const bytes =
    precision <= 9 ? 5 : precision <= 19 ? 9 : precision <= 28 ? 13 : 17;
  const max = 10n ** BigInt(precision) - 1n;
  return {
    title: `decimal(${precision},${scale})`,
    column: describe(0x6a, { dataLength: bytes, precision, scale }),
    logical: precision <= 18 ? "decimal64" : "decimal128",
    precision,
    scale,
    null: shortNull,
    values: fc
      .oneof(
        fc.bigInt({ min: -max, max }),
        fc
          .bigInt({ min: -1000n, max: 1000n })
          .map((v) => (v < -max ? -max : v > max ? max : v)),
        fc.constantFrom(max, -max, 0n),
      )
      .map(
        (value) =>
          [
            short(
              Buffer.concat([
                Buffer.of(value < 0n ? 0 : 1),
                littleEndian(value < 0n ? -value : value, bytes - 1),
              ]),
            ),
            value,
          ] as const,
      ),
  };
}

const DAY_US = 86_400_000_000n;

/** Units of 10^-scale s, as they lie on the wire. */
function timeBytes(units: bigint, scale: number): Buffer {
  return littleEndian(units, scale <= 2 ? 3 : scale <= 4 ? 4 : 5);
}

function timeOfDay(scale: number): fc.Arbitrary<bigint> {
  const max = 86_400n * 10n ** BigInt(scale) - 1n;
  return fc.oneof(fc.bigInt({ min: 0n, max }), fc.constantFrom(0n, max));
}

function time(scale: number): WireType {
  return {
    title: `time(${scale})`,
    column: describe(0x29, { scale }),
    logical: scale === 7 ? "timeNs" : "time",
    null: shortNull,
    values: timeOfDay(scale).map(
      (units) =>
        [
          short(timeBytes(units, scale)),
          scale === 7 ? units * 100n : units * 10n ** BigInt(6 - scale),
        ] as const,
    ),
  };
}

function datetime2(scale: number, hasOffset: boolean): WireType {
  const [low, high] = scale === 7 ? [-106_751, 106_750] : [-719_162, 2_932_896];
  return {
    title: `${hasOffset ? "datetimeoffset" : "datetime2"}(${scale})`,
    column: describe(hasOffset ? 0x2b : 0x2a, { scale }),
    logical:
      scale === 7 ? "timestampNs" : hasOffset ? "timestamptz" : "timestamp",
    null: shortNull,
    values: fc
      .tuple(
        timeOfDay(scale),
        fc.oneof(
          fc.integer({ min: low, max: high }),
          fc.constantFrom(low, high, 0, -1),
        ),
        fc.integer({ min: -840, max: 840 }),
      )
      .map(
        ([units, days, offset]) =>
          [
            short(
              Buffer.concat([
                timeBytes(units, scale),
                littleEndian(BigInt(days + 719_162), 3),
                hasOffset ? littleEndian(BigInt(offset), 2) : Buffer.alloc(0),
              ]),
            ),
            scale === 7
              ? BigInt(days) * DAY_US * 1_000n + units * 100n
              : BigInt(days) * DAY_US + units * 10n ** BigInt(6 - scale),
          ] as const,
      ),
  };
}

function datetime(title: string, isNullable: boolean): WireType {
  const frame = isNullable ? short : (value: Buffer): Buffer => value;
  return {
    title,
    column: isNullable ? describe(0x6f, { dataLength: 8 }) : describe(0x3d),
    logical: "timestamp",
    null: isNullable ? shortNull : null,
    values: fc
      .tuple(
        fc.integer({ min: -53_690, max: 2_958_463 }),
        fc.integer({ min: 0, max: 25_919_999 }),
      )
      .map(([days, ticks]) => {
        const bytes = Buffer.concat([
          littleEndian(BigInt(days), 4),
          littleEndian(BigInt(ticks), 4),
        ]);
        // to the nearest ms, as .000 .003 .007: half a millisecond never comes
        const ms = (BigInt(ticks) * 20n + 3n) / 6n;
        return [
          frame(bytes),
          BigInt(days - 25_567) * DAY_US + ms * 1_000n,
        ] as const;
      }),
  };
}

function smalldatetime(isNullable: boolean): WireType {
  const frame = isNullable ? short : (value: Buffer): Buffer => value;
  return {
    title: isNullable ? "smalldatetime" : "smalldatetime NOT NULL",
    column: isNullable ? describe(0x6f, { dataLength: 4 }) : describe(0x3a),
    logical: "timestamp",
    null: isNullable ? shortNull : null,
    values: fc
      .tuple(
        fc.integer({ min: 0, max: 65_378 }),
        fc.integer({ min: 0, max: 1_439 }),
      )
      .map(
        ([days, minutes]) =>
          [
            frame(
              Buffer.concat([
                littleEndian(BigInt(days), 2),
                littleEndian(BigInt(minutes), 2),
              ]),
            ),
            BigInt(days - 25_567) * DAY_US + BigInt(minutes) * 60_000_000n,
          ] as const,
      ),
  };
}

function money(isSmall: boolean, isNullable: boolean): WireType {
  const frame = isNullable ? short : (value: Buffer): Buffer => value;
  const bytes = isSmall ? 4 : 8;
  return {
    title: `${isSmall ? "small" : ""}money${isNullable ? "" : " NOT NULL"}`,
    column: isNullable
      ? describe(0x6e, { dataLength: bytes })
      : describe(isSmall ? 0x7a : 0x3c),
    logical: isSmall ? "decimal64" : "decimal128",
    precision: isSmall ? 10 : 19,
    scale: 4,
    null: isNullable ? shortNull : null,
    values: integers(bytes, true).map(
      (value) =>
        [
          frame(
            isSmall
              ? littleEndian(value, 4)
              : Buffer.concat([
                  littleEndian(value >> 32n, 4),
                  littleEndian(value, 4),
                ]),
          ),
          value,
        ] as const,
    ),
  };
}

const uuid: WireType = {
  title: "uniqueidentifier",
  column: describe(0x24, { dataLength: 16 }),
  logical: "uuid",
  null: shortNull,
  values: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => {
    const hex = Buffer.from(bytes).toString("hex");
    const wire = Buffer.from(bytes);
    wire.subarray(0, 4).reverse();
    wire.subarray(4, 6).reverse();
    wire.subarray(6, 8).reverse();
    return [short(wire), hex] as const;
  }),
};

const wellFormed = fc.oneof(
  fc.string({ maxLength: 60 }),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.string({ unit: fc.constantFrom("a", "é", "漢", "😀"), maxLength: 30 }),
);
const latin = fc.string({
  unit: fc.constantFrom("a", "Z", " ", "é", "ÿ", "€", "™", "ž"),
  maxLength: 40,
});
const windows1252: Readonly<Record<string, number>> = {
  "€": 0x80,
  "™": 0x99,
  ž: 0x9e,
};

function encodeLatin(text: string): Buffer {
  return Buffer.from(
    Array.from(text, (char) => windows1252[char] ?? char.charCodeAt(0)),
  );
}

function texts(): WireType[] {
  const utf16 = (text: string): Buffer => Buffer.from(text, "utf16le");
  const collated = { logical: "text" } as const;
  return [
    {
      ...collated,
      title: "nvarchar(200)",
      column: describe(0xe7, { dataLength: 400 }),
      null: longNull,
      values: wellFormed.map((text) => [long(utf16(text)), text] as const),
    },
    {
      ...collated,
      title: "nvarchar(max)",
      column: describe(0xe7, { dataLength: 0xffff }),
      null: plpNull,
      values: fc
        .tuple(wellFormed, fc.integer({ min: 1, max: 50 }), fc.boolean())
        .map(
          ([text, chunk, known]) =>
            [plp(utf16(text), chunk, known), text] as const,
        ),
    },
    {
      ...collated,
      title: "xml",
      column: describe(0xf1),
      null: plpNull,
      values: wellFormed.map(
        (text) => [plp(utf16(text), 4_000), text] as const,
      ),
    },
    {
      ...collated,
      title: "ntext",
      column: describe(0x63, { dataLength: 0x7fff_ffff }),
      null: shortNull,
      values: wellFormed.map((text) => [pointed(utf16(text)), text] as const),
    },
    {
      ...collated,
      title: "varchar(200), Windows-1252",
      column: describe(0xa7, { dataLength: 200 }),
      codePage: 1252,
      null: longNull,
      values: latin.map((text) => [long(encodeLatin(text)), text] as const),
    },
    {
      ...collated,
      title: "varchar(max), Windows-1252",
      column: describe(0xa7, { dataLength: 0xffff }),
      codePage: 1252,
      null: plpNull,
      values: latin.map((text) => [plp(encodeLatin(text), 7), text] as const),
    },
    {
      ...collated,
      title: "varchar(300), UTF-8",
      column: describe(0xa7, { dataLength: 300 }),
      codePage: 65_001,
      null: longNull,
      values: wellFormed.map(
        (text) => [long(Buffer.from(text)), text] as const,
      ),
    },
    {
      ...collated,
      title: "text, Windows-1252",
      column: describe(0x23, { dataLength: 0x7fff_ffff }),
      codePage: 1252,
      null: shortNull,
      values: latin.map((text) => [pointed(encodeLatin(text)), text] as const),
    },
  ];
}

function binaries(): WireType[] {
  const bytes = fc.uint8Array({ maxLength: 100 }).map(Buffer.from);
  const read = (value: Buffer): string => value.toString("hex");
  return [
    {
      title: "varbinary(100)",
      column: describe(0xa5, { dataLength: 100 }),
      logical: "binary",
      null: longNull,
      values: bytes.map((value) => [long(value), read(value)] as const),
    },
    {
      title: "varbinary(max)",
      column: describe(0xa5, { dataLength: 0xffff }),
      logical: "binary",
      null: plpNull,
      values: fc
        .tuple(bytes, fc.boolean())
        .map(([value, known]) => [plp(value, 13, known), read(value)] as const),
    },
    {
      title: "rowversion",
      column: describe(0xad, { dataLength: 8 }),
      logical: "binary",
      null: longNull,
      values: fc
        .uint8Array({ minLength: 8, maxLength: 8 })
        .map(
          (value) =>
            [long(Buffer.from(value)), read(Buffer.from(value))] as const,
        ),
    },
    {
      title: "image",
      column: describe(0x22, { dataLength: 0x7fff_ffff }),
      logical: "binary",
      null: shortNull,
      values: bytes.map((value) => [pointed(value), read(value)] as const),
    },
    {
      title: "geometry",
      column: describe(0xf0),
      logical: "binary",
      null: plpNull,
      values: bytes.map((value) => [plp(value, 8_000), read(value)] as const),
    },
  ];
}

function floats(): WireType[] {
  const float32 = fc.float().filter((value) => !Number.isNaN(value));
  const float64 = fc.double().filter((value) => !Number.isNaN(value));
  const bytesOf = (value: number, bytes: 4 | 8): Buffer => {
    const buffer = Buffer.alloc(bytes);
    if (bytes === 4) buffer.writeFloatLE(value);
    else buffer.writeDoubleLE(value);
    return buffer;
  };
  return [
    {
      title: "real NOT NULL",
      column: describe(0x3b),
      logical: "float32",
      null: null,
      values: float32.map((value) => [bytesOf(value, 4), value] as const),
    },
    {
      title: "real",
      column: describe(0x6d, { dataLength: 4 }),
      logical: "float32",
      null: shortNull,
      values: float32.map(
        (value) => [short(bytesOf(value, 4)), value] as const,
      ),
    },
    {
      title: "float NOT NULL",
      column: describe(0x3e),
      logical: "float64",
      null: null,
      values: float64.map((value) => [bytesOf(value, 8), value] as const),
    },
    {
      title: "float",
      column: describe(0x6d, { dataLength: 8 }),
      logical: "float64",
      null: shortNull,
      values: float64.map(
        (value) => [short(bytesOf(value, 8)), value] as const,
      ),
    },
  ];
}

function bit(isNullable: boolean): WireType {
  return {
    title: isNullable ? "bit" : "bit NOT NULL",
    column: isNullable ? describe(0x68, { dataLength: 1 }) : describe(0x32),
    logical: "boolean",
    null: isNullable ? shortNull : null,
    values: fc
      .boolean()
      .map(
        (value) =>
          [
            isNullable ? Buffer.of(1, value ? 1 : 0) : Buffer.of(value ? 1 : 0),
            value,
          ] as const,
      ),
  };
}

const date: WireType = {
  title: "date",
  column: describe(0x28),
  logical: "date",
  null: shortNull,
  values: fc
    .oneof(
      fc.integer({ min: -719_162, max: 2_932_896 }),
      fc.constantFrom(-719_162, 2_932_896, 0),
    )
    .map(
      (days) => [short(littleEndian(BigInt(days + 719_162), 3)), days] as const,
    ),
};

const intVariant: WireType = {
  title: "sql_variant",
  column: describe(0x62, { dataLength: 8_009 }),
  logical: "text",
  null: Buffer.alloc(4),
  values: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((value) => {
    const inner = Buffer.concat([
      Buffer.of(0x38, 0),
      littleEndian(BigInt(value), 4),
    ]);
    return [
      Buffer.concat([littleEndian(BigInt(inner.length), 4), inner]),
      String(value),
    ] as const;
  }),
};

export const wireTypes: readonly WireType[] = [
  ...integer("tinyint", 0x30, 1, "int16", false),
  ...integer("smallint", 0x34, 2, "int16"),
  ...integer("int", 0x38, 4, "int32"),
  ...integer("bigint", 0x7f, 8, "int64"),
  bit(true),
  bit(false),
  ...floats(),
  money(false, true),
  money(false, false),
  money(true, true),
  money(true, false),
  decimal(1, 0),
  decimal(9, 2),
  decimal(12, 2),
  decimal(18, 18),
  decimal(19, 0),
  decimal(28, 10),
  decimal(38, 38),
  decimal(38, 4),
  date,
  ...Array.from({ length: 8 }, (_, scale) => time(scale)),
  ...Array.from({ length: 8 }, (_, scale) => datetime2(scale, false)),
  ...Array.from({ length: 8 }, (_, scale) => datetime2(scale, true)),
  datetime("datetime", true),
  datetime("datetime NOT NULL", false),
  smalldatetime(true),
  smalldatetime(false),
  uuid,
  ...texts(),
  ...binaries(),
  intVariant,
];

export function fieldsOf(types: readonly WireType[]): FieldPlan[] {
  return matchColumns(
    "dbo.t",
    types.map((type, i) => ({
      name: `c${i}`,
      logical: type.logical,
      nullable: type.null !== null,
      precision: type.precision ?? 0,
      scale: type.scale ?? 0,
      codePage: type.codePage ?? 0,
    })),
    types.map((type) => type.column),
  );
}

/** A value of a row: its bytes with their length, or NULL. */
export type WireValue = readonly [bytes: Buffer, read: TestValue] | null;

/** A ROW, or an NBCROW where `isNbc` is set: then NULLs have no bytes of their own. */
export function encodeRow(
  types: readonly WireType[],
  values: readonly WireValue[],
  isNbc: boolean,
): Buffer {
  const bitmap = Buffer.alloc(Math.ceil(types.length / 8));
  const parts: Buffer[] = [];
  for (const [i, type] of types.entries()) {
    const value = values[i] ?? null;
    if (value !== null) parts.push(value[0]);
    else if (isNbc) bitmap[i >> 3] = (bitmap[i >> 3] ?? 0) | (1 << (i & 7));
    else if (type.null === null) throw new Error(`${type.title} has no NULL`);
    else parts.push(type.null);
  }
  return Buffer.concat([
    Buffer.of(isNbc ? 0xd2 : 0xd1),
    isNbc ? bitmap : Buffer.alloc(0),
    ...parts,
  ]);
}

/** Bytes in memory of their own, so that a view over them begins at 0. */
export function detach(bytes: Uint8Array): {
  readonly bytes: Buffer<ArrayBuffer>;
  readonly view: DataView;
} {
  const own = Buffer.from(new ArrayBuffer(bytes.length));
  own.set(bytes);
  return { bytes: own, view: new DataView(own.buffer) };
}

/** Decodes all rows of `wire`, which arrive in pieces that end at `cuts`, and reads the batches back row by row. */
export function decodeAll(
  decoder: RowDecoder,
  fields: readonly FieldPlan[],
  wire: Buffer,
  cuts: readonly number[] = [],
  capacity = 16_384,
): TestValue[][] {
  const { bytes, view } = detach(wire);
  const set = new BatchSet(fields, batchCapacity(fields, capacity));
  const rows: TestValue[][] = [];
  const empty = (): void => {
    rows.push(
      ...(readRows(fields, set.toBatch(fields.length)) as TestValue[][]),
    );
    set.reset();
  };
  let start = 0;
  const ends = [...cuts, wire.length].sort((a, b) => a - b);
  for (const end of ends) {
    for (;;) {
      start = decoder.decode(set, bytes, view, start, end, Infinity);
      if (!set.isFull) break;
      empty();
    }
  }
  empty();
  if (start !== wire.length)
    throw new Error(`${wire.length - start} bytes are left`);
  return rows;
}
