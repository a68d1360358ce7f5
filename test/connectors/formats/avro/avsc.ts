/** Reads Avro files with avsc, which shares no code with what wrote them. */
import avro from "avsc";
import { snappyUncompress } from "hyparquet";
import { crc32, zstdDecompressSync } from "node:zlib";
import { formatDecimal } from "../../../../connectors/formats/text/digits.ts";
import type { LogicalType, StreamSchema } from "../../../../proto/schema.ts";
import type { TestRow, TestValue } from "../../../fixtures/batches.ts";

export interface AvscFile {
  /** As the header has it. */
  readonly schema: {
    readonly name: string;
    readonly namespace?: string;
    readonly fields: readonly Record<string, unknown>[];
  };
  readonly rows: readonly Record<string, unknown>[];
}

/** Longs as bigint; the annotations are left alone. */
const long = avro.types.LongType.__with({
  fromBuffer: (buffer: Buffer) => buffer.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const buffer = Buffer.alloc(8);
    buffer.writeBigInt64LE(value);
    return buffer;
  },
  fromJSON: BigInt,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === "bigint",
  compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
});

type Done = (error: Error | null, data?: Buffer) => void;

/** avsc brings null and deflate along, and forgets them when it is given others. */
const codecs = {
  ...avro.streams.BlockDecoder.defaultCodecs(),
  snappy: (block: Buffer, done: Done) => {
    const compressed = block.subarray(0, -4);
    // the length in front, as a varint of up to three bytes here
    let length = 0;
    for (let i = 0; ; i++) {
      length += (compressed[i]! & 0x7f) * 2 ** (7 * i);
      if (compressed[i]! < 0x80) break;
    }
    const out = Buffer.alloc(length);
    snappyUncompress(compressed, out);
    if (block.readUInt32BE(block.length - 4) !== crc32(out))
      done(new Error("the checksum differs"));
    else done(null, out);
  },
  zstandard: (block: Buffer, done: Done) =>
    done(null, zstdDecompressSync(block)),
};

export async function decodeByAvsc(bytes: Buffer): Promise<AvscFile> {
  let schema: AvscFile["schema"] | undefined;
  const decoder = new avro.streams.BlockDecoder({
    codecs: codecs as unknown as Record<string, never>,
    parseHook: (parsed: unknown) => {
      schema = parsed as AvscFile["schema"];
      return avro.Type.forSchema(parsed as avro.Schema, {
        typeHook: (inner) =>
          (inner as { type?: unknown }).type === "long" ||
          (inner as unknown) === "long"
            ? long
            : undefined,
      });
    },
  });
  const rows: Record<string, unknown>[] = [];
  decoder.end(bytes);
  for await (const row of decoder) rows.push({ ...(row as object) });
  return { schema: schema!, rows };
}

/** All rows, in the notation of `fixtures/batches.ts`. */
export async function readByAvsc(
  bytes: Buffer,
  schema: StreamSchema,
): Promise<TestRow[]> {
  const { rows } = await decodeByAvsc(bytes);
  return rows.map((row) =>
    Object.values(row).map((value, i) =>
      value === null ? null : toTestValue(schema.columns[i]!.type, value),
    ),
  );
}

function toTestValue(type: LogicalType, value: unknown): TestValue {
  switch (type.kind) {
    case "uint64":
      return readUnscaled(value as Buffer);
    case "decimal64":
    case "decimal128":
      return formatDecimal(readUnscaled(value as Buffer), type.scale!);
    case "timeNs": {
      const [, hours, minutes, seconds, fraction] =
        /^(\d\d):(\d\d):(\d\d)\.(\d{9})$/.exec(value as string)!;
      return (
        (BigInt(hours!) * 3600n + BigInt(minutes!) * 60n + BigInt(seconds!)) *
          1_000_000_000n +
        BigInt(fraction!)
      );
    }
    case "binary":
      return new Uint8Array(value as Buffer);
    default:
      return value as TestValue;
  }
}

function readUnscaled(bytes: Buffer): bigint {
  return BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString("hex")}`));
}
