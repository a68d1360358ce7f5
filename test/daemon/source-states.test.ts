import { describe, expect, test } from "vitest";
import {
  buildStates,
  readKept,
  writeKept,
  type StreamToRead,
} from "../../daemon/source-states.ts";

const none = { covers: () => false, ofStreams: new Map(), ofAll: null };

function state(name: string, row: string): string {
  return `{"type":"STREAM","stream":{"stream_descriptor":{"name":"${name}"},"stream_state":{"row":${row}}},"sourceStats":{"recordCount":3.0},"id":4,"partition_id":"x"}`;
}

function stream(
  number: number,
  name: string,
  more: Partial<StreamToRead> = {},
): StreamToRead {
  return {
    ref: { number, namespace: "", name },
    syncMode: "incremental",
    kept: null,
    ...more,
  };
}

const global = (names: string[]): string =>
  JSON.stringify({
    type: "GLOBAL",
    global: {
      shared_state: { lsn: 9 },
      stream_states: names.map((name) => ({ stream_descriptor: { name } })),
    },
  });

describe("what a connector is given as its state", () => {
  test("nothing where there is none", () => {
    expect(buildStates([stream(1, "a")], none)).toBeNull();
  });

  test("what this run has goes before what earlier runs have left; what the message carried stays behind", () => {
    const kept = { scope: "STREAM", at: 1, body: state("b", "2") } as const;
    const built = buildStates(
      [
        stream(1, "a", { kept: { ...kept, body: state("a", "1") } }),
        stream(2, "b", { kept }),
        stream(3, "c"),
      ],
      {
        ...none,
        ofStreams: new Map([[1, state("a", "12345678901234567890.50")]]),
      },
    );
    expect(built).toBe(
      '[{"type":"STREAM","stream":{"stream_descriptor":{"name":"a"},"stream_state":{"row":12345678901234567890.50}}},{"type":"STREAM","stream":{"stream_descriptor":{"name":"b"},"stream_state":{"row":2}}}]',
    );
  });

  test("earlier runs' states are for incremental streams alone, this run's for any", () => {
    const kept = { scope: "STREAM", at: 1, body: state("a", "1") } as const;
    const whole = stream(1, "a", { kept, syncMode: "full_refresh" });
    expect(buildStates([whole], none)).toBeNull();
    expect(
      buildStates([whole], {
        ...none,
        ofStreams: new Map([[1, state("a", "7")]]),
      }),
    ).toContain('"row":7');
  });

  test("of a state of all streams, those that are not as far as it are left out", () => {
    const body = global(["a", "b"]);
    const kept = { scope: "GLOBAL", at: 5, body } as const;
    const behind = { scope: "GLOBAL", at: 4, body: global(["b"]) } as const;
    const built = buildStates(
      [stream(1, "a", { kept }), stream(2, "b", { kept: behind })],
      none,
    );
    expect(JSON.parse(built ?? "")).toEqual([
      {
        type: "GLOBAL",
        global: {
          shared_state: { lsn: 9 },
          stream_states: [{ stream_descriptor: { name: "a" } }],
        },
      },
    ]);
  });

  test("a state of the first protocol is what it holds", () => {
    expect(
      buildStates([stream(1, "a")], { ...none, ofAll: '{"data":{"at":1.0}}' }),
    ).toBe('{"at":1.0}');
  });
});

test("what is kept from run to run is told from what other sources have left", () => {
  const kept = { scope: "STREAM", at: 1, body: "{}" } as const;
  expect(readKept(writeKept(kept))).toEqual(kept);
  for (const other of [null, "2026-01-01", '{"log":"x"}', "17"])
    expect(readKept(other)).toBeNull();
});
