import fc from "fast-check";
import { expect, test } from "vitest";
import {
  formatAck,
  parseLine,
  type EngineOffset,
} from "../../../../../connectors/sources/debezium/engine/protocol.ts";

const parse = (line: string) => parseLine(Buffer.from(line));

/** A line as the engine writes it. */
function formatEvent(
  topic: string,
  key: string,
  value: string,
  headers: string | null,
): string {
  const [kb, vb] = [Buffer.byteLength(key), Buffer.byteLength(value)];
  return `{"t":"event","n":7,"e":3,"kb":${kb},"vb":${vb},"d":${JSON.stringify(topic)},"k":${key},"v":${value}${headers === null ? "" : `,"h":${headers}`}}`;
}

test("an event's parts are found by their lengths, whatever they hold", () =>
  fc.assert(
    fc.property(
      fc.string({ unit: "binary", maxLength: 40 }),
      fc.json(),
      fc.json(),
      fc.option(fc.json()),
      (topic, key, value, headers) => {
        const line = formatEvent(topic, key, value, headers);
        const event = parse(line);
        expect(event).toMatchObject({ type: "event", number: 7, order: 3 });
        if (event.type !== "event") return;
        expect(event.topic).toBe(Buffer.from(topic).toString());
        expect(event.key?.toString() ?? "null").toBe(key);
        expect(event.value?.toString() ?? "null").toBe(value);
        expect(event.headers?.toString() ?? null).toBe(headers);
      },
    ),
  ));

test.for([
  { name: "no JSON", line: "Terminating due to java.lang.OutOfMemoryError" },
  { name: "another kind", line: '{"t":"other"}' },
  { name: "a number for a text", line: '{"t":"history","r":1}' },
  { name: "no position", line: '{"t":"begin","n":1,"tx":null,"ms":1}' },
  {
    name: "a length beyond the line",
    line: '{"t":"event","n":1,"e":1,"kb":4,"vb":99,"d":"a","k":null,"v":null}',
  },
  {
    name: "a length inside of the key",
    line: '{"t":"event","n":1,"e":1,"kb":2,"vb":4,"d":"a","k":null,"v":null}',
  },
  {
    name: "something behind the value",
    line: '{"t":"event","n":1,"e":1,"kb":4,"vb":4,"d":"a","k":null,"v":null,"x":1}',
  },
])("$name is refused by name", ({ line }) =>
  expect(() => parse(line)).toThrow(
    expect.objectContaining({ code: "SOURCE_PROTOCOL_VIOLATION" }),
  ),
);

test("an offset goes back as it came, with numbers that JavaScript has not", () => {
  const offset = '{"lsn":18446744073709551615}' as EngineOffset;
  const line = JSON.stringify({ t: "commit", n: 2, events: 2, o: offset });
  expect(parse(line)).toEqual({
    type: "commit",
    number: 2,
    events: 2,
    offset,
  });
  expect(JSON.parse(formatAck(offset))).toEqual({ t: "ack", o: offset });
});
