import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AHEAD_INDEX_MAX,
  CheckpointCoordinator,
  missingCheckpoint,
  SETTLED_KEPT_MAX,
} from "../../checkpoint/coordinator.ts";
import { StateBuilder, stateJson } from "../../checkpoint/state.ts";
import type {
  CheckpointStamp,
  DurableReport,
  StreamState,
} from "../../proto/checkpoint.ts";
import { ExtractError } from "../../proto/error.ts";
import { makeReport, makeStamp } from "./stamps.ts";

function begin(epoch = 1): CheckpointCoordinator {
  const coordinator = new CheckpointCoordinator(epoch);
  coordinator.begin(1);
  return coordinator;
}

/** A stamp's report, with the file that its destination would name. */
function reportOf(stamp: CheckpointStamp): DurableReport {
  return makeReport({ ...stamp });
}

const mismatched = expect.objectContaining({ code: "CHECKPOINT_MISMATCH" });

test("reports that come out of order leave in index order, all at once when the hole is filled", () => {
  const coordinator = begin();
  const reports = [1, 2, 3].map((index) =>
    makeReport({ index, partition: index, last: true }),
  );
  const [first, second, third] = reports as [
    DurableReport,
    DurableReport,
    DurableReport,
  ];
  expect(coordinator.durable(third)).toEqual([]);
  expect(coordinator.durable(second)).toEqual([]);
  expect(coordinator.outstanding(1)).toEqual([1]);
  const states = coordinator.durable(first);
  expect(
    states.map(({ index, done, rows }) => ({ index, done, rows })),
  ).toEqual([
    { index: 1, done: [1], rows: 10 },
    { index: 2, done: [1, 2], rows: 20 },
    { index: 3, done: [1, 2, 3], rows: 30 },
  ]);
  expect(coordinator.oldestOutstanding(1)).toBeNull();
});

test("a void index is passed over and releases what waited behind it", () => {
  const coordinator = begin();
  coordinator.announce(makeStamp({ index: 1 }));
  coordinator.durable(
    makeReport({ index: 2, attempt: 2, sequence: 1, last: true }),
  );
  expect(coordinator.void(1, 1).map(({ index }) => index)).toEqual([2]);
  expect(coordinator.void(1, 1)).toEqual([]);
});

test("what is outstanding is named: announced ones, holes, and what was expected", () => {
  const coordinator = begin();
  const announced = makeStamp({ index: 1 });
  coordinator.announce(announced);
  coordinator.durable(makeReport({ index: 3, partition: 1 }));
  coordinator.expectThrough(1, 4);
  expect(coordinator.outstanding(1)).toEqual([1, 2, 4]);
  expect(coordinator.oldestOutstanding(1)).toEqual({
    stream: 1,
    index: 1,
    stamp: announced,
  });
  coordinator.durable(reportOf(announced));
  const hole = coordinator.oldestOutstanding(1);
  expect(hole).toEqual({ stream: 1, index: 2, stamp: null });
  expect(hole && missingCheckpoint(hole)).toMatchObject({
    code: "CHECKPOINT_MISSING",
    details: { stream: 1, index: 2, partition: null },
  });
});

test("the same report again changes nothing, before and after it was released", () => {
  const coordinator = begin();
  const ahead = makeReport({ index: 2, partition: 1 });
  coordinator.durable(ahead);
  expect(coordinator.durable(structuredClone(ahead))).toEqual([]);
  expect(coordinator.durable(makeReport({ index: 1 }))).toHaveLength(2);
  expect(coordinator.durable(structuredClone(ahead))).toEqual([]);
  coordinator.announce(makeStamp({ index: 2, partition: 1 }));
  expect(coordinator.outstanding(1)).toEqual([]);
});

test("an announcement may come after its report, or after its index was called void", () => {
  const coordinator = begin();
  coordinator.durable(makeReport({ index: 2, partition: 1 }));
  coordinator.announce(makeStamp({ index: 2, partition: 1 }));
  coordinator.void(1, 3);
  coordinator.announce(makeStamp({ index: 3, partition: 2 }));
  expect(coordinator.durable(makeReport({ index: 1 }))).toHaveLength(2);
  coordinator.announce(makeStamp({ index: 3, partition: 2 }));
  expect(coordinator.outstanding(1)).toEqual([]);
});

test("a checkpoint of an attempt that was not void is taken though a newer attempt is known", () => {
  const coordinator = begin();
  coordinator.announce(makeStamp({ index: 1 }));
  coordinator.announce(makeStamp({ index: 2, attempt: 2, sequence: 1 }));
  expect(coordinator.durable(makeReport({ index: 1 }))).toHaveLength(1);
});

const contradictions: Record<string, (to: CheckpointCoordinator) => void> = {
  "a different report of a pending index": (to) => {
    to.durable(makeReport({ index: 2 }));
    to.durable(makeReport({ index: 2, rows: 11 }));
  },
  "a different report of a released index": (to) => {
    to.durable(makeReport({ index: 1 }));
    to.durable(makeReport({ index: 1, files: [] }));
  },
  "a report that differs from its announcement": (to) => {
    to.announce(makeStamp({ index: 1 }));
    to.durable(makeReport({ index: 1, bytes: 101 }));
  },
  "an announcement that differs from its report": (to) => {
    to.durable(makeReport({ index: 2 }));
    to.announce(makeStamp({ index: 2, last: true }));
  },
  "a report of another epoch": (to) => {
    to.durable(makeReport({ index: 1, epoch: 0 }));
  },
  "a report of an older attempt behind a newer": (to) => {
    to.durable(makeReport({ index: 1, attempt: 2 }));
    to.durable(makeReport({ index: 2, attempt: 1 }));
  },
  "a report of an older attempt behind a newer, before either is released": (
    to,
  ) => {
    to.durable(makeReport({ index: 3, attempt: 1 }));
    to.durable(makeReport({ index: 2, attempt: 2 }));
    to.void(1, 1);
  },
  "a report after its partition's last": (to) => {
    to.durable(makeReport({ index: 1, last: true }));
    to.durable(makeReport({ index: 2 }));
  },
  "an announcement after its partition's last": (to) => {
    to.durable(makeReport({ index: 1, last: true }));
    to.announce(makeStamp({ index: 2 }));
  },
  "an announcement of an older attempt": (to) => {
    to.durable(makeReport({ index: 1, attempt: 2 }));
    to.announce(makeStamp({ index: 2, attempt: 1 }));
  },
  "a report of a void index": (to) => {
    to.void(1, 2);
    to.durable(makeReport({ index: 2 }));
  },
  "a report of a void index that was passed": (to) => {
    to.void(1, 1);
    to.durable(makeReport({ index: 1 }));
  },
  "a void of a pending durable index": (to) => {
    to.durable(makeReport({ index: 2 }));
    to.void(1, 2);
  },
  "a void of a released index": (to) => {
    to.durable(makeReport({ index: 1 }));
    to.void(1, 1);
  },
  "a stream that was never begun": (to) => {
    to.durable(makeReport({ index: 1, stream: 2 }));
  },
  "an index that is no index": (to) => {
    to.void(1, 0.5);
  },
};
test.for(Object.entries(contradictions))("refused: %s", ([, contradict]) => {
  expect(() => contradict(begin())).toThrow(mismatched);
});

test("a repeat from longer ago than is remembered is refused, not guessed at", () => {
  const coordinator = begin();
  for (let index = 1; index <= SETTLED_KEPT_MAX + 1; index++)
    coordinator.durable(makeReport({ index }));
  expect(coordinator.durable(makeReport({ index: 2 }))).toEqual([]);
  expect(() => coordinator.durable(makeReport({ index: 1 }))).toThrow(
    mismatched,
  );
});

test("after a contradiction a stream releases nothing more, the others go on", () => {
  const coordinator = begin();
  coordinator.begin(2);
  coordinator.void(1, 1);
  expect(() => coordinator.durable(makeReport({ index: 1 }))).toThrow(
    mismatched,
  );
  expect(() => coordinator.durable(makeReport({ index: 2 }))).toThrow(
    mismatched,
  );
  expect(coordinator.durable(makeReport({ index: 1, stream: 2 }))).toHaveLength(
    1,
  );
});

test("what is still told of a stream that ended is ignored", () => {
  const coordinator = begin();
  coordinator.end(1);
  coordinator.announce(makeStamp({ index: 2 }));
  expect(coordinator.durable(makeReport({ index: 1 }))).toEqual([]);
});

test("checkpoints too far ahead of a missing one fail by its name", () => {
  const coordinator = begin();
  coordinator.announce(makeStamp({ index: 1, partition: 5 }));
  coordinator.announce(makeStamp({ index: AHEAD_INDEX_MAX, partition: 1 }));
  expect(() =>
    coordinator.announce(
      makeStamp({ index: AHEAD_INDEX_MAX + 1, partition: 2 }),
    ),
  ).toThrow(
    expect.objectContaining({
      code: "CHECKPOINT_MISSING",
      details: { stream: 1, index: 1, partition: 5 },
    }),
  );
});

describe("whatever happens on the channels", () => {
  /** One checkpoint that a simulated source allots, and what becomes of it. */
  interface Scripted {
    readonly stamp: CheckpointStamp;
    readonly fate: "durable" | "void";
  }

  /**
   * Partitions are read in turns by the choices given: a checkpoint, a last one, or a loss of the attempt, whose
   * checkpoints since the last durable one become void before the next attempt begins.
   */
  function script(
    choices: readonly {
      readonly partition: number;
      readonly step: "checkpoint" | "last" | "loss" | "void";
      readonly rows: number;
    }[],
  ): Scripted[] {
    const partitions = new Map<
      number,
      { attempt: number; sequence: number; done: boolean }
    >();
    const scripted: Scripted[] = [];
    for (const { partition, step, rows } of choices) {
      const reader = partitions.get(partition) ?? {
        attempt: 1,
        sequence: 0,
        done: false,
      };
      partitions.set(partition, reader);
      if (reader.done) continue;
      if (step === "loss") {
        reader.attempt++;
        reader.sequence = 0;
        continue;
      }
      reader.sequence += 1 + (rows % 3);
      const stamp = makeStamp({
        index: scripted.length + 1,
        partition,
        attempt: reader.attempt,
        sequence: reader.sequence,
        rows,
        last: step === "last",
      });
      if (step === "void") {
        // nothing of an attempt is durable behind a void checkpoint of it
        reader.attempt++;
        reader.sequence = 0;
      } else reader.done = step === "last";
      scripted.push({ stamp, fate: step === "void" ? "void" : "durable" });
    }
    return scripted;
  }

  const scripts = fc
    .array(
      fc.record({
        partition: fc.nat(5),
        step: fc.constantFrom(
          "checkpoint" as const,
          "checkpoint" as const,
          "last" as const,
          "loss" as const,
          "void" as const,
        ),
        rows: fc.nat(1000),
      }),
      { maxLength: 40 },
    )
    .map(script);

  type News =
    | { readonly type: "announce"; readonly stamp: CheckpointStamp }
    | { readonly type: "durable"; readonly report: DurableReport }
    | { readonly type: "void"; readonly index: number };

  function tellAll(scripted: readonly Scripted[]): News[] {
    return scripted.flatMap(({ stamp, fate }): News[] => [
      { type: "announce", stamp },
      fate === "void"
        ? { type: "void", index: stamp.index }
        : { type: "durable", report: reportOf(stamp) },
    ]);
  }

  function tell(to: CheckpointCoordinator, news: News): StreamState[] {
    if (news.type === "announce") {
      to.announce(news.stamp);
      return [];
    }
    return news.type === "durable"
      ? to.durable(news.report)
      : to.void(1, news.index);
  }

  /** The script, with its news in any order, some of them repeated, and some lost. */
  const shuffled = scripts.chain((scripted) => {
    const news = tellAll(scripted);
    return fc.record({
      scripted: fc.constant(scripted),
      told: fc
        .tuple(
          fc.shuffledSubarray(news, { minLength: news.length }),
          fc.subarray(news),
        )
        .map(([all, again]) => [...all, ...again]),
      repeated: fc.shuffledSubarray(news),
      lost: fc.subarray(news),
    });
  });

  function expectedTexts(scripted: readonly Scripted[]): string[] {
    const builder = new StateBuilder(1);
    const texts: string[] = [];
    for (const { stamp, fate } of scripted)
      if (fate === "void") builder.skip(stamp.index);
      else texts.push(stateJson(builder.apply(stamp)));
    return texts;
  }

  test("every order and every repeat releases the same states, in index order, each once", () => {
    fc.assert(
      fc.property(shuffled, ({ scripted, told, repeated }) => {
        const coordinator = begin();
        const texts = [...told, ...repeated]
          .flatMap((news) => tell(coordinator, news))
          .map(stateJson);
        expect(texts).toEqual(expectedTexts(scripted));
        expect(coordinator.oldestOutstanding(1)).toBeNull();
      }),
    );
  });

  test("the rows of the last state are the rows of all durable checkpoints", () => {
    fc.assert(
      fc.property(shuffled, ({ scripted, told }) => {
        const coordinator = begin();
        const states = told.flatMap((news) => tell(coordinator, news));
        const rows = scripted
          .filter(({ fate }) => fate === "durable")
          .reduce((sum, { stamp }) => sum + stamp.rows, 0);
        expect(states.at(-1)?.rows ?? 0).toBe(rows);
      }),
    );
  });

  test("whatever is lost, the released states are those up to the first loss, and that one is named", () => {
    fc.assert(
      fc.property(shuffled, ({ scripted, told, lost }) => {
        const coordinator = begin();
        coordinator.expectThrough(1, scripted.length);
        const gone = new Set<News>(lost);
        const texts = told
          .filter((news) => !gone.has(news))
          .flatMap((news) => tell(coordinator, news))
          .map(stateJson);
        const settledBy = new Set(
          lost.flatMap((news) =>
            news.type === "announce"
              ? []
              : [news.type === "void" ? news.index : news.report.index],
          ),
        );
        const firstLost = Math.min(...settledBy);
        expect(texts).toEqual(
          expectedTexts(
            scripted.filter(({ stamp }) => stamp.index < firstLost),
          ),
        );
        expect(coordinator.outstanding(1)).toEqual(
          [...settledBy].sort((a, b) => a - b),
        );
        expect(coordinator.oldestOutstanding(1)?.index ?? Infinity).toBe(
          firstLost,
        );
      }),
    );
  });

  const spoilt = {
    "of an older attempt, after a newer one": (report: DurableReport) => ({
      ...report,
      attempt: report.attempt - 1,
    }),
    "of another epoch": (report: DurableReport) => ({ ...report, epoch: 2 }),
    "with other rows": (report: DurableReport) => ({
      ...report,
      rows: report.rows + 1,
    }),
    "with another position": (report: DurableReport) => ({
      ...report,
      position: { kind: "pages" as const, nextPage: 1 },
    }),
    "for another partition": (report: DurableReport) => ({
      ...report,
      partition: report.partition + 1,
    }),
    "with other files": (report: DurableReport) => ({
      ...report,
      files: [{ path: "other", rows: 1, bytes: 1 }],
    }),
  };
  test.for(Object.entries(spoilt))(
    "a second report %s fails by name, and nothing is released after it",
    ([, spoil]) => {
      fc.assert(
        fc.property(shuffled, fc.nat(), ({ scripted, told }, pick) => {
          const durable = scripted.filter(({ fate }) => fate === "durable");
          const chosen = durable[pick % Math.max(1, durable.length)];
          fc.pre(chosen !== undefined);
          const coordinator = begin();
          const at = pick % (told.length + 1);
          for (const news of told.slice(0, at)) tell(coordinator, news);
          let failures = 0;
          const attempt = (step: () => unknown): void => {
            try {
              const states = step();
              if (failures > 0) expect(states).toBe("an error");
            } catch (error) {
              if (!(error instanceof ExtractError)) throw error;
              expect(error.code).toBe("CHECKPOINT_MISMATCH");
              failures++;
            }
          };
          attempt(() => coordinator.durable(spoil(reportOf(chosen.stamp))));
          for (const news of told.slice(at))
            attempt(() => tell(coordinator, news));
          // the honest report came before or comes after: one of the two is refused
          attempt(() => coordinator.durable(reportOf(chosen.stamp)));
          expect(failures).toBeGreaterThan(0);
        }),
      );
    },
  );
});
