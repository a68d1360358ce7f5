/** A reader that has nothing to do takes over the tail of what another is reading; no row is lost or read twice by it. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import type { Partition } from "../../proto/partition.ts";
import { signal, waitFor, type Destination } from "./support/command.ts";
import { test } from "./support/fixtures.ts";
import { expectComplete } from "./support/outcome.ts";
import { createRandom, pick } from "./support/random.ts";
import {
  accounts,
  createTables,
  digestTable,
  type Digest,
} from "./support/tables.ts";

/** One partition each, all of a size: with two readers the last is read while one of them has nothing to do. */
const LEAVES = 7;
const RUNS_MAX = 6;
const SEEDS = Array.from({ length: 6 }, (_, i) => i + 1);

const ways = ["key", "ctid"] as const;
type Way = (typeof ways)[number];

const optionsOf = (way: Way): string[] => [
  ...["--table", accounts.name, "--partition-by", way],
  ...["--readers", "2", "--channels", "2"],
  ...["--partition-size", "1MiB", "--checkpoint-every", "50ms"],
];

/** Of the newest run, by ordinal. */
function listPartitions(destination: Destination): readonly Partition[] {
  return (
    destination.look((ledger) => {
      const [run] = ledger.listRuns({ limit: 1 });
      return run ? ledger.partitionsOf(run.runId) : [];
    }) ?? []
  );
}

function countSplits(destination: Destination): number {
  return Math.max(0, listPartitions(destination).length - LEAVES);
}

/** The ranges of each leaf follow one another from its open start to its open end. */
function expectRangesWhole(partitions: readonly Partition[]): void {
  const leaves = Map.groupBy(partitions, ({ relation }) => relation.oid);
  expect(leaves.size).toBe(LEAVES);
  for (const ranges of leaves.values()) {
    const followers = new Map(
      ranges.map(({ split }) => [boundsOf(split).start, boundsOf(split).end]),
    );
    const met: string[] = [];
    for (let at: string | undefined = "open"; at !== undefined;) {
      const end = followers.get(at);
      met.push(at);
      at = end === "open" ? undefined : end;
    }
    expect(met).toHaveLength(ranges.length);
  }
}

function boundsOf(split: Partition["split"]): { start: string; end: string } {
  if (split.kind === "key")
    return {
      start: split.start?.[0] ?? "open",
      end: split.end?.[0] ?? "open",
    };
  if (split.kind !== "pages") throw new Error("a table that does not split");
  return {
    start: split.startPage === 0 ? "open" : String(split.startPage),
    end: split.endPage === null ? "open" : String(split.endPage),
  };
}

describe("the tail of a range is given away", () => {
  let digest: Digest;

  test("a table of equal leaves is there", async ({ database }) => {
    await createTables(database.query, [accounts]);
    const leaves = Array.from(
      { length: LEAVES },
      (_, i) =>
        `CREATE TABLE leaf_${i} PARTITION OF accounts FOR VALUES WITH (MODULUS ${LEAVES}, REMAINDER ${i});`,
    );
    await database.query(
      `ALTER TABLE accounts RENAME TO flat;
       CREATE TABLE accounts (LIKE flat, PRIMARY KEY (id)) PARTITION BY HASH (id);
       ${leaves.join("\n")}
       INSERT INTO accounts SELECT * FROM flat;
       DROP TABLE flat`,
    );
    await database.query("ANALYZE accounts");
    digest = await digestTable(database.query, accounts);
    expect(digest.rows).toBeGreaterThan(0);
  });

  test.for(ways)(
    "by %s, and each row is read once",
    async (way, { database, destination }) => {
      const run = destination.start(
        ...["sync", database.url, destination.root],
        ...optionsOf(way),
      );
      const { code, stderr, summary } = await run.ended;
      expect(code, stderr).toBe(0);
      const partitions = listPartitions(destination);
      expect(partitions.length).toBeGreaterThan(LEAVES);
      expectRangesWhole(partitions);
      const progress = run.events
        .filter((event) => event.type === "stream.progress")
        .at(-1);
      expect(progress).toMatchObject({
        rowsRead: digest.rows,
        rowsDurable: digest.rows,
        partitions: partitions.length,
        partitionsDone: partitions.length,
      });
      expect(summary?.streams[0]?.partitions).toBe(partitions.length);
      expect(run.events.filter(({ type }) => type === "warning")).toEqual([]);
      await expectComplete(destination, new Map([[accounts, digest]]), way);
    },
  );

  const roles = ["bookkeeper", "source", "destination"] as const;
  test.for(ways.flatMap((way) => SEEDS.map((seed) => ({ way, seed }))))(
    "by $way, through SIGKILLs around it, seed $seed",
    async ({ way, seed }, { database, destination }) => {
      const random = createRandom(seed);
      const log: string[] = [];
      for (let turn = 1; ; turn += 1) {
        expect(turn, log.join("; ")).toBeLessThanOrEqual(RUNS_MAX);
        const before = countSplits(destination);
        const run = destination.start(
          ...["sync", database.url, destination.root],
          ...optionsOf(way),
        );
        if (turn <= 2) {
          const wanted = before + 1 + Math.floor(random() * 2);
          await waitFor(
            "a split",
            () => run.isOver() || countSplits(destination) >= wanted,
          );
          const waitMs = Math.round(random() * 60);
          await Promise.race([sleep(waitMs), run.ended]);
          const role = pick(random, roles);
          const pid = run.find(role);
          if (pid !== null && signal(pid, "SIGKILL"))
            log.push(
              `run ${turn}: ${role}, ${waitMs} ms after split ${countSplits(destination)}`,
            );
        }
        const { code, signal: by, stderr } = await run.ended;
        if (code === 0) break;
        expect([3, null], `${log.join("; ")}\n${by} ${stderr}`).toContain(code);
      }
      expectRangesWhole(listPartitions(destination));
      await expectComplete(
        destination,
        new Map([[accounts, digest]]),
        log.join("; "),
      );
    },
  );
});
