import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ExtractError } from "../../../../proto/error.ts";
import {
  endsRows,
  StatementAnswer,
} from "../../../../connectors/sources/mysql/wire/answer.ts";
import {
  encodeClose,
  encodeExecute,
  encodePrepare,
  readColumnDefinition,
  readError,
  type Capabilities,
} from "../../../../connectors/sources/mysql/wire/packets.ts";
import { withLength } from "./support/wire-rows.ts";

const eof = Buffer.from([0xfe, 0, 0, 2, 0]);

function prepareOk(columns: number, parameters: number): Buffer {
  const packet = Buffer.alloc(12);
  packet.writeUInt32LE(77, 1);
  packet.writeUInt16LE(columns, 5);
  packet.writeUInt16LE(parameters, 7);
  return packet;
}

function definition(name: string, extended?: Buffer): Buffer {
  const texts = ["def", "shop", "t", "t", name, name];
  const rest = Buffer.alloc(13);
  rest[0] = 12;
  rest.writeUInt16LE(45, 1);
  rest[7] = 254;
  rest.writeUInt16LE(32 | 1, 8);
  rest[10] = 6;
  return Buffer.concat([
    ...texts.map((text) => withLength(Buffer.from(text))),
    ...(extended === undefined ? [] : [withLength(extended)]),
    rest,
  ]);
}

/** Takes packets, and says what each meant. */
function takeAll(
  answer: StatementAnswer,
  packets: readonly Buffer[],
): string[] {
  return packets.map((packet) => answer.take(packet, 0, packet.length));
}

describe("the answer to a prepared statement", () => {
  const old: Capabilities = { deprecateEof: false, extendedMetadata: false };
  const modern: Capabilities = { deprecateEof: true, extendedMetadata: false };

  test("with an EOF behind definitions", () => {
    const answer = new StatementAnswer(old);
    const definitions = [definition("a"), definition("b")];
    expect(takeAll(answer, [prepareOk(2, 0), ...definitions, eof])).toEqual([
      "more",
      "more",
      "more",
      "prepared",
    ]);
    expect(answer.statement).toBe(77);
    expect(takeAll(answer, [Buffer.from([2]), ...definitions, eof])).toEqual([
      "more",
      "more",
      "more",
      "rows",
    ]);
    expect(answer.fields.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(answer.isInRows).toBe(true);
    expect(endsRows(eof, 0)).toBe(true);
  });

  test("without one, where it is deprecated", () => {
    const answer = new StatementAnswer(modern);
    expect(takeAll(answer, [prepareOk(1, 0), definition("a")])).toEqual([
      "more",
      "prepared",
    ]);
    expect(takeAll(answer, [Buffer.from([1]), definition("a")])).toEqual([
      "more",
      "rows",
    ]);
    expect(endsRows(Buffer.from([0xfe, 0, 0, 2, 0, 0, 0, 5, 1]), 0)).toBe(true);
  });

  test("parameters are counted and passed over", () => {
    const answer = new StatementAnswer(old);
    expect(
      takeAll(answer, [
        prepareOk(1, 2),
        definition("?"),
        definition("?"),
        eof,
        definition("a"),
        eof,
      ]).at(-1),
    ).toBe("prepared");
    expect(answer.parameters).toBe(2);
  });

  test("a type that the protocol has no number for has a name", () => {
    const block = Buffer.concat([
      Buffer.from([0]),
      withLength(Buffer.from("uuid")),
      Buffer.from([1]),
      withLength(Buffer.from("json")),
    ]);
    const packet = definition("a", block);
    expect(
      readColumnDefinition(packet, 0, packet.length, {
        deprecateEof: false,
        extendedMetadata: true,
      }),
    ).toEqual({
      name: "a",
      charset: 45,
      type: 254,
      isUnsigned: true,
      decimals: 6,
      extendedType: "uuid",
    });
  });

  test("a request for a file is refused", () => {
    const answer = new StatementAnswer(old);
    takeAll(answer, [prepareOk(1, 0), definition("a"), eof]);
    expect(() =>
      takeAll(answer, [Buffer.from("\u00fb/etc/passwd", "latin1")]),
    ).toThrow(/a request for a file/);
  });

  test("bytes that are no such answer break the protocol, and never crash", () =>
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), {
          maxLength: 8,
        }),
        fc.boolean(),
        (packets, extendedMetadata) => {
          const answer = new StatementAnswer({
            deprecateEof: false,
            extendedMetadata,
          });
          const sound = [
            prepareOk(1, 0),
            definition("a"),
            eof,
            Buffer.from([1]),
          ];
          try {
            takeAll(answer, [...sound, ...packets.map((p) => Buffer.from(p))]);
          } catch (error) {
            if (!(error instanceof ExtractError)) throw error;
            expect(error.code).toBe("SOURCE_PROTOCOL_VIOLATION");
          }
        },
      ),
    ));
});

describe("commands and errors", () => {
  test("commands are single packets with their number", () => {
    expect(encodePrepare("SELECT 1").toString("latin1")).toBe(
      "\u0009\0\0\0\u0016SELECT 1",
    );
    expect(encodeExecute(0x01020304).toString("hex")).toBe(
      "0a000000" + "17" + "04030201" + "00" + "01000000",
    );
    expect(encodeClose(5).toString("hex")).toBe("05000000" + "19" + "05000000");
  });

  test("a statement of 16 MiB goes in two packets", () => {
    const packets = encodePrepare("x".repeat(0xff_fffe));
    expect(packets.subarray(0, 5).toString("hex")).toBe("ffffff0016");
    expect(packets.subarray(4 + 0xff_ffff).toString("hex")).toBe("00000001");
  });

  test("an error has a number, a state and words", () => {
    const packet = Buffer.concat([
      Buffer.from([0xff, 0x7a, 0x04]),
      Buffer.from("#42S02no ж"),
    ]);
    expect(readError(packet, 0, packet.length)).toEqual({
      errno: 1146,
      sqlState: "42S02",
      message: "no ж",
    });
    const early = Buffer.concat([
      Buffer.from([0xff, 0x10, 0x04]),
      Buffer.from("full"),
    ]);
    expect(readError(early, 0, early.length)).toMatchObject({
      errno: 1040,
      message: "full",
    });
  });
});
