import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  JsonFault,
  Tape,
  token,
  TOKEN_WORDS,
} from "../../../connectors/json/tape.ts";
import { readText } from "../../../connectors/json/strings.ts";
import { readDouble } from "../../../connectors/json/numbers.ts";

const tape = new Tape();

/** The text as JSON.parse would give it, from its tokens. */
function parse(bytes: Uint8Array, start = 0, end = bytes.length): unknown {
  tape.read(bytes, start, end);
  const { words } = tape;
  const build = (at: number): readonly [value: unknown, behind: number] => {
    const [kind = 0, from = 0, to = 0, behind = 0] = words.subarray(
      at,
      at + TOKEN_WORDS,
    );
    switch (kind) {
      case token.null:
        return [null, behind];
      case token.true:
      case token.false:
        return [kind === token.true, behind];
      case token.integer:
      case token.real:
        return [readDouble(bytes, from, to), behind];
      case token.text:
      case token.escapedText:
        return [readText(bytes, kind, from, to), behind];
    }
    const list: unknown[] = [];
    const object: [string, unknown][] = [];
    for (let next = at + TOKEN_WORDS; next < behind;) {
      let value: unknown;
      let name: unknown = "";
      if (kind === token.object) [name, next] = build(next);
      [value, next] = build(next);
      list.push(value);
      object.push([String(name), value]);
    }
    return [kind === token.array ? list : toObject(object), behind];
  };
  return build(0)[0];
}

/** Also a member called `__proto__`. */
function toObject(members: readonly (readonly [string, unknown])[]): object {
  const object = {};
  for (const [name, value] of members) {
    Object.defineProperty(object, name, {
      value,
      configurable: true,
      enumerable: true,
      writable: true,
    });
  }
  return object;
}

function faultOf(text: string | Uint8Array): string {
  try {
    parse(typeof text === "string" ? Buffer.from(text) : text);
  } catch (error) {
    if (error instanceof JsonFault) return error.message;
    throw error;
  }
  return "";
}

/** Any that is no half of a surrogate pair, and those that have escapes more often. */
const character = fc
  .oneof(fc.nat(0x7f), fc.nat(0xffff), fc.nat(0x10ffff))
  .map((point) =>
    point >= 0xd800 && point <= 0xdfff ? "\\" : String.fromCodePoint(point),
  );

test("any JSON is read as JSON.parse reads it", () =>
  fc.assert(
    fc.property(
      fc.json({ maxDepth: 3, stringUnit: character }),
      fc.boolean(),
      fc.integer({ min: 0, max: 9 }),
      (text, spaced, before) => {
        const wanted: unknown = JSON.parse(text);
        const shown = spaced ? JSON.stringify(wanted, null, "\t") : text;
        // bytes of others stand around the text
        const bytes = Buffer.from(`${'"'.repeat(before)}${shown}]}",1`);
        const end = before + Buffer.byteLength(shown);
        assert.deepStrictEqual(parse(bytes, before, end), wanted);
      },
    ),
  ));

test("what JSON.parse refuses is refused, and nothing else", () =>
  fc.assert(
    fc.property(
      fc.json({ maxDepth: 3 }),
      fc.array(
        fc.record({
          at: fc.nat(),
          put: fc.constantFrom(
            "",
            '"',
            "\\",
            "{",
            "]",
            ",",
            ":",
            "0",
            "-",
            ".",
            "e",
            "u",
            "t",
            " ",
            "\u0001",
          ),
        }),
        { maxLength: 3 },
      ),
      (text, edits) => {
        let broken = text;
        for (const { at, put } of edits) {
          const i = at % (broken.length + 1);
          broken = broken.slice(0, i) + put + broken.slice(i + 1);
        }
        let isJson = true;
        try {
          JSON.parse(broken);
        } catch {
          isJson = false;
        }
        // half of a surrogate pair is text to JSON.parse, and none in UTF-8
        if (isJson && !broken.isWellFormed()) return;
        expect(faultOf(broken) === "").toBe(
          isJson && !/half of a surrogate/.test(faultOf(broken)),
        );
      },
    ),
    { numRuns: 500 },
  ));

describe("a text that is refused", () => {
  test.for([
    ["", /ends too early/],
    ["{", /ends too early/],
    ['{"a"', /ends too early/],
    ['{"a"}', /name without a value/],
    ['{"a":', /ends too early/],
    ['{"a":1', /ends too early/],
    ['"abc', /ends too early/],
    ['"a\nb"', /control character/],
    ['"\\x"', /escape/],
    ['"\\u12g4"', /escape/],
    ['"\\', /escape/],
    ['"\\ud800"', /half of a surrogate pair/],
    ['"\\udc00"', /half of a surrogate pair/],
    ['"\\ud800\\u0041"', /half of a surrogate pair/],
    ["01", /more than one value/],
    ["1 2", /more than one value/],
    ["-", /without digits/],
    ["1.", /without digits/],
    ["1e", /without digits/],
    ["+1", /value that is none/],
    ["NaN", /value that is none/],
    ["nul", /value that is none/],
    ["[1,]", /value that is none/],
    ["[1 2]", /no comma/],
    ['{"a":1,}', /without a name/],
    ["{1:2}", /without a name/],
    ["[1}", /no comma/],
    ["[".repeat(65), /nested deeper than 64/],
    [`${"[".repeat(1e6)}`, /nested deeper than 64/],
    ["9".repeat(1_025), /number of more than 1024 bytes/],
  ] as const)("%s", ([text, reason]) => {
    expect(faultOf(text)).toMatch(reason);
  });

  test("bytes that are no UTF-8", () => {
    for (const bytes of [
      [0xff],
      [0xc3],
      [0xc0, 0x80],
      [0xed, 0xa0, 0x80],
      [0xf4, 0x90, 0x80, 0x80],
    ]) {
      const text = Buffer.concat([
        Buffer.from('"'),
        Buffer.from(bytes),
        Buffer.from('"'),
      ]);
      expect(faultOf(text)).toMatch(/not UTF-8/);
    }
  });

  test("more values than a tape has place for", () => {
    expect(faultOf(`[${"0,".repeat(1 << 22)}0]`)).toMatch(
      /more than 4194304 values/,
    );
  });
});
