/** What the queue promises, whatever database it is in. Two openings of a ledger stand for two daemons. */
import fc from "fast-check";
import { describe, expect } from "vitest";
import type { Ledger } from "../../../../checkpoint/store/ledger.ts";
import { QueuePlace } from "../../../../checkpoint/store/queue-leases.ts";
import type {
  QueuedRun,
  QueueMessage,
  QueueRequest,
} from "../../../../checkpoint/store/queue.ts";
import {
  QUEUE_JSON_MAX,
  QUEUE_KEPT_PER_SYNC,
  QUEUE_PRUNED_EVERY,
} from "../../../../checkpoint/store/queue.ts";
import {
  beginPlannedRun,
  owner,
  type LedgerFolder,
  type LedgerTest,
} from "../fixtures.ts";

const LEASE_MS = 60_000;

function coded(code: string): unknown {
  return expect.objectContaining({ code });
}

/** A scope is a list of names here; its union is sorted and has no repeats. */
function unite(waiting: string, added: string): string {
  const names = [waiting, added].flatMap((one) => JSON.parse(one) as string[]);
  return JSON.stringify([...new Set(names)].toSorted());
}

function add(
  ledger: Ledger,
  sync: string,
  {
    key = null as string | null,
    scope = [] as readonly string[],
    dueAt = null as number | null,
    offset = null as string | null,
  } = {},
) {
  return ledger.enqueue({
    sync,
    key,
    originJson: '{"kind":"api"}',
    scopeJson: JSON.stringify(scope),
    dueAt,
    message:
      offset === null
        ? null
        : { topic: "t", partition: 0, offset, writtenAt: null },
    mergeScope: unite,
  });
}

function take(
  ledger: Ledger,
  daemon = "d1",
  { leaseMs = LEASE_MS, limit = 100 } = {},
): QueuedRun[] {
  return ledger.takeQueued(daemon, { leaseMs, limit });
}

function takeOne(ledger: Ledger, daemon?: string, leaseMs?: number): QueuedRun {
  const [entry] = take(
    ledger,
    daemon,
    leaseMs === undefined ? {} : { leaseMs },
  );
  if (!entry) throw new Error("nothing could be taken");
  return entry;
}

const syncsOf = (entries: readonly QueuedRun[]): string[] =>
  entries.map(({ sync }) => sync);

export function testQueue(
  test: LedgerTest,
  { interleavings }: { readonly interleavings: number },
): void {
  describe("taking", () => {
    test("an entry comes out as it went in, under a lease", ({ folder }) => {
      const ledger = folder.open();
      const before = ledger.now();
      const { queueId, result } = add(ledger, "a", { key: "k", scope: ["x"] });
      expect(result).toBe("queued");
      expect(queueId).toMatch(/^q-\d+$/);
      expect(ledger.queuedOf(queueId)).toMatchObject({
        queueId,
        sync: "a",
        key: "k",
        state: "queued",
        originJson: '{"kind":"api"}',
        scopeJson: '["x"]',
        attempts: 0,
        epoch: 0,
        runId: null,
        daemon: null,
        leaseExpiresAt: null,
        errorJson: null,
      });
      const entry = takeOne(ledger);
      expect(entry).toMatchObject({
        queueId,
        state: "taken",
        daemon: "d1",
        epoch: 1,
        attempts: 1,
      });
      expect(entry.leaseExpiresAt).toBeGreaterThanOrEqual(before + LEASE_MS);
      expect(ledger.queuedOf(queueId)).toEqual(entry);
      ledger.finishQueued(queueId, 1, "failed", '{"code":"X"}');
      expect(folder.open().queuedOf(queueId)).toMatchObject({
        state: "failed",
        errorJson: '{"code":"X"}',
        leaseExpiresAt: null,
      });
    });

    test("what is due longest comes first, what is not due never, and one of a sync at a time", ({
      folder,
    }) => {
      const ledger = folder.open();
      const now = ledger.now();
      add(ledger, "later", { dueAt: now + 3_600_000 });
      add(ledger, "b", { dueAt: now - 10 });
      add(ledger, "a", { dueAt: now - 20 });
      add(ledger, "a", { dueAt: now - 5 });
      add(ledger, "c", { dueAt: now - 10 });
      expect(syncsOf(take(ledger, "d1", { limit: 2 }))).toEqual(["a", "b"]);
      expect(syncsOf(take(folder.open(), "d2"))).toEqual(["c"]);
      expect(take(ledger)).toEqual([]);
      expect(ledger.nextDueAt()).toBe(now + 3_600_000);
      const [first] = ledger.listQueue({ sync: "a", limit: 9 }).toReversed();
      ledger.finishQueued(String(first?.queueId), 1, "succeeded", null);
      expect(syncsOf(take(ledger))).toEqual(["a"]);
      expect(ledger.nextDueAt()).toBe(now + 3_600_000);
    });

    test("a daemon chooses among all that could be taken, however many it leaves", ({
      folder,
    }) => {
      const ledger = folder.open();
      ledger.transaction(() => {
        for (let count = 0; count < 600; count++) add(ledger, `s${count}`);
      });
      const asked: string[] = [];
      const taken = ledger.takeQueued("d1", {
        leaseMs: LEASE_MS,
        limit: 2,
        accepts: ({ queueId, sync }) => {
          expect(ledger.queuedOf(queueId).sync).toBe(sync);
          asked.push(sync);
          return sync === "s7" || sync === "s590" || sync === "s599";
        },
      });
      expect(syncsOf(taken)).toEqual(["s7", "s590"]);
      expect(asked).toHaveLength(591);
      expect(ledger.countQueue()).toMatchObject({ queued: 598, taken: 2 });
      expect(ledger.countQueue("s7")).toMatchObject({ queued: 0, taken: 1 });
    });

    test("nothing of a paused sync is taken, by any daemon, until it is resumed", ({
      folder,
    }) => {
      const ledger = folder.open();
      add(ledger, "a");
      add(ledger, "a", { dueAt: ledger.now() + 3_600_000 });
      ledger.pauseSync("a");
      ledger.pauseSync("a");
      const other = folder.open();
      expect(other.pausedSyncs()).toEqual(["a"]);
      expect(take(other)).toEqual([]);
      expect(other.nextDueAt()).toBeNull();
      other.resumeSync("a");
      expect(ledger.pausedSyncs()).toEqual([]);
      expect(syncsOf(take(ledger))).toEqual(["a"]);
    });

    test("the reason of a pause goes with it, an agreement stays until it is taken back", ({
      folder,
    }) => {
      const ledger = folder.open();
      const other = folder.open();
      const none = { isPaused: false, reasonJson: null, agreementJson: null };
      expect(ledger.syncStateOf("a")).toEqual(none);
      ledger.pauseSync("a", '{"why":1}');
      // by hand, on top of it
      ledger.pauseSync("a");
      expect(other.syncStateOf("a")).toEqual({
        ...none,
        isPaused: true,
        reasonJson: '{"why":1}',
      });
      ledger.setAgreement("a", "true");
      ledger.resumeSync("a");
      expect(other.syncStateOf("a")).toEqual({
        ...none,
        agreementJson: "true",
      });
      ledger.setAgreement("a", null);
      expect(other.syncStateOf("a")).toEqual(none);
      expect(other.syncStateOf("b")).toEqual(none);
    });
  });

  describe("one for several", () => {
    test("an equal key is taken in while one waits: scopes unite, and the earlier time holds", ({
      folder,
    }) => {
      const ledger = folder.open();
      const now = ledger.now();
      const first = add(ledger, "a", { key: "k", scope: ["x"], dueAt: now });
      const second = add(ledger, "a", {
        key: "k",
        scope: ["y", "x"],
        dueAt: now + 9,
      });
      const third = add(ledger, "a", { key: "k", dueAt: now - 9 });
      expect(second).toEqual({ ...first, result: "coalesced" });
      expect(third).toEqual(second);
      expect(ledger.queuedOf(first.queueId)).toMatchObject({
        scopeJson: '["x","y"]',
        dueAt: now - 9,
      });
      for (const other of [
        add(ledger, "a", { key: "k2" }),
        add(ledger, "b", { key: "k" }),
        add(ledger, "a"),
        add(ledger, "a"),
      ])
        expect(other.result).toBe("queued");
      expect(ledger.countQueue().queued).toBe(5);
    });

    test("nothing is taken in by what runs, nor by a run that waits to go on", ({
      folder,
    }) => {
      const ledger = folder.open();
      const again = (): string =>
        add(ledger, "a", { key: "k", scope: ["y"] }).result;
      add(ledger, "a", { key: "k", scope: ["x"] });
      const entry = takeOne(ledger);
      expect(again()).toBe("queued");
      expect(again()).toBe("coalesced");
      ledger.bindRun(entry.queueId, entry.epoch, "r-1");
      ledger.requeue(entry.queueId, entry.epoch, null);
      expect(again()).toBe("coalesced");
      expect(ledger.queuedOf(entry.queueId).scopeJson).toBe('["x"]');
      expect(ledger.countQueue()).toMatchObject({ queued: 2 });
    });

    test("scopes without a union are one only when they are equal, and a union has bounds", ({
      folder,
    }) => {
      const ledger = folder.open();
      const plain = {
        sync: "a",
        key: "k",
        originJson: "{}",
        dueAt: null,
        message: null,
      };
      const results = ['["x"]', '["x"]', '["y"]'].map(
        (scopeJson) => ledger.enqueue({ ...plain, scopeJson }).result,
      );
      expect(results).toEqual(["queued", "coalesced", "queued"]);
      const tooLong = ledger.enqueue({
        ...plain,
        sync: "b",
        scopeJson: "[]",
        mergeScope: () => "x".repeat(QUEUE_JSON_MAX + 1),
      });
      expect(tooLong.result).toBe("queued");
      const apart = ledger.enqueue({
        ...plain,
        sync: "b",
        scopeJson: "[]",
        mergeScope: () => "x".repeat(QUEUE_JSON_MAX + 1),
      });
      expect(apart.result).toBe("queued");
    });

    test("a message is recorded once for ever: new, taken in, and long after its run", ({
      folder,
    }) => {
      const ledger = folder.open();
      const send = (offset: string) =>
        add(ledger, "a", { key: "k", scope: [offset], offset });
      const first = send("18446744073709551615");
      expect(send("2")).toEqual({ ...first, result: "coalesced" });
      for (const offset of ["18446744073709551615", "2"])
        expect(send(offset)).toEqual({ ...first, result: "known" });
      const entry = takeOne(ledger);
      ledger.finishQueued(entry.queueId, entry.epoch, "succeeded", null);
      expect(send("2")).toEqual({ ...first, result: "known" });
      expect(ledger.countQueue()).toMatchObject({ queued: 0, succeeded: 1 });
      const elsewhere = ledger.enqueue({
        sync: "a",
        key: null,
        originJson: "{}",
        scopeJson: "[]",
        dueAt: null,
        message: { topic: "t", partition: 1, offset: "2", writtenAt: null },
      });
      expect(elsewhere.result).toBe("queued");
    });

    test("a request with a key is recorded once, by whichever ledger that is open, and its key is no other's", ({
      folder,
    }) => {
      const send = (
        request: Partial<QueueRequest>,
        key: string | null = null,
      ) =>
        folder.open().enqueue({
          ...{ sync: "a", key, originJson: "{}", scopeJson: "[]" },
          ...{ dueAt: null, message: null },
          request: { caller: "me", key: "1", fingerprint: "f", ...request },
        });
      const first = send({});
      expect(first.result).toBe("queued");
      expect(send({})).toEqual({ ...first, result: "known" });
      expect(() => send({ fingerprint: "g" })).toThrow(
        coded("IDEMPOTENCY_CONFLICT"),
      );
      for (const other of [{ caller: "you" }, { key: "2" }])
        expect(send(other).result).toBe("queued");
      // what was taken in by another entry is known as that
      const waiting = send({ key: "3" }, "k");
      const added = send({ key: "4" }, "k");
      expect(added).toEqual({ ...waiting, result: "coalesced" });
      const ledger = folder.open();
      ledger.cancelQueued(waiting.queueId);
      expect(send({ key: "4" }, "k")).toEqual({ ...waiting, result: "known" });
    });

    test("messages that the brokers have no more are forgotten, and no others", ({
      folder,
    }) => {
      const ledger = folder.open();
      const send = (message: Partial<QueueMessage>) =>
        ledger.enqueue({
          ...{ sync: "a", key: null, originJson: "{}", scopeJson: "[]" },
          dueAt: null,
          message: {
            ...{ topic: "t", partition: 0, offset: "1", writtenAt: null },
            ...message,
          },
        }).result;
      const gone = [
        { offset: "0" },
        { offset: "9" },
        { offset: "9", writtenAt: "1767225600000" },
      ];
      const kept = [
        { offset: "10" },
        { offset: "100" },
        { offset: "10", writtenAt: "1767225600000" },
        { offset: "9", partition: 1 },
        { offset: "9", topic: "tA" },
        { offset: "9", topic: "t-1", writtenAt: "1767225600000" },
      ];
      for (const one of [...gone, ...kept]) expect(send(one)).toBe("queued");
      const place = { topic: "t", partition: 0, offset: "10", writtenAt: null };
      expect(ledger.forgetMessages(place)).toEqual({
        forgotten: gone.length,
        isAll: true,
      });
      for (const one of kept) expect(send(one)).toBe("known");
      for (const one of gone) expect(send(one)).toBe("queued");
    });

    test("a daemon that remembers how far it has looked takes what it would have taken anew", ({
      folder,
    }) => {
      const ledger = folder.open();
      const syncs = ["a", "b", "c", "d"];
      const step = fc.record({
        kind: fc.constantFrom("add", "add", "take", "end", "pause"),
        sync: fc.constantFrom(...syncs),
        limit: fc.integer({ min: 1, max: 3 }),
        refused: fc.subarray(syncs),
      });
      fc.assert(
        fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
          const place = new QueuePlace();
          const held = new Map<string, QueuedRun>();
          for (const { kind, sync, limit, refused } of steps) {
            if (kind === "add") add(ledger, sync);
            if (kind === "pause") {
              ledger.pauseSync(sync);
              ledger.resumeSync(sync);
              place.freed.add(sync);
            }
            const entry = held.get(sync);
            if (kind === "end" && entry) {
              if (limit === 1) ledger.requeue(entry.queueId, entry.epoch, null);
              else
                ledger.finishQueued(
                  ...([entry.queueId, entry.epoch, "succeeded", null] as const),
                );
              held.delete(sync);
              place.freed.add(sync);
            }
            if (kind !== "take") continue;
            const accepts = (one: { sync: string }) =>
              !refused.includes(one.sync);
            const how = { leaseMs: LEASE_MS, limit, accepts };
            const free = ledger
              .listQueue({ sync: null, states: ["queued"], limit: 1_000 })
              .filter((one) => accepts(one) && !held.has(one.sync))
              .sort(
                (x, y) =>
                  x.dueAt - y.dueAt ||
                  Number(x.queueId.slice(2)) - Number(y.queueId.slice(2)),
              );
            const wanted = [...Map.groupBy(free, (one) => one.sync).values()]
              .map(([oldest]) => oldest?.queueId)
              .slice(0, limit);
            const taken = ledger.takeQueued("d1", { ...how, place });
            expect(taken.map(({ queueId }) => queueId)).toEqual(wanted);
            for (const one of taken) held.set(one.sync, one);
          }
          for (const { queueId } of ledger.releaseLeases(null))
            ledger.cancelQueued(queueId);
          for (const { queueId } of ledger.listQueue({
            ...{ sync: null, states: ["queued"], limit: 1_000 },
          }))
            ledger.cancelQueued(queueId);
        }),
        { numRuns: Math.ceil(interleavings / 2) },
      );
    });

    test("what is out of bounds is refused by name, and nothing of it is recorded", ({
      folder,
    }) => {
      const ledger = folder.open();
      const good = {
        sync: "a",
        key: null,
        originJson: "{}",
        scopeJson: "[]",
        dueAt: null,
        message: { topic: "t", partition: 0, offset: "1", writtenAt: null },
      };
      const bad = [
        { sync: "x".repeat(2_000) },
        { sync: "nul\0" },
        { key: "k\0" },
        { scopeJson: `"${"x".repeat(QUEUE_JSON_MAX)}"` },
        { originJson: `"${"x".repeat(QUEUE_JSON_MAX)}"` },
        { message: { ...good.message, offset: "-1" } },
        { message: { ...good.message, topic: "\0" } },
      ];
      for (const part of bad)
        expect(() => ledger.enqueue({ ...good, ...part })).toThrow(
          coded("TRIGGER_INVALID"),
        );
      expect(ledger.listQueue({ limit: 9 })).toEqual([]);
      expect(ledger.enqueue(good).result).toBe("queued");
    });

    test("entries that are over are kept up to a number, and their messages stay known", ({
      folder,
    }) => {
      const ledger = folder.open();
      const count = QUEUE_KEPT_PER_SYNC + QUEUE_PRUNED_EVERY + 10;
      ledger.transaction(() => {
        for (let at = 0; at < count; at++) {
          const { queueId } = add(ledger, "a", { offset: String(at) });
          ledger.cancelQueued(queueId);
        }
      });
      const kept = ledger.countQueue().cancelled;
      expect(kept).toBeGreaterThanOrEqual(QUEUE_KEPT_PER_SYNC);
      expect(kept).toBeLessThan(QUEUE_KEPT_PER_SYNC + QUEUE_PRUNED_EVERY);
      expect(add(ledger, "a", { offset: "0" }).result).toBe("known");
    });
  });

  describe("leases", () => {
    /** An entry with a run, whose lease has run out and that another daemon has taken. */
    function takeOver(folder: LedgerFolder) {
      const late = folder.open();
      const { runId } = beginPlannedRun(late);
      add(late, "a");
      const before = takeOne(late, "d1", 0);
      late.bindRun(before.queueId, before.epoch, runId);
      const successor = folder.open();
      return {
        late,
        before,
        runId,
        successor,
        after: () => take(successor, "d2"),
      };
    }

    test("one that ran out is taken with its run and the next epoch; its former holder writes nothing", ({
      folder,
    }) => {
      const { late, before, runId, successor, after } = takeOver(folder);
      const [entry] = after();
      expect(entry).toMatchObject({
        queueId: before.queueId,
        epoch: 2,
        attempts: 2,
        runId,
      });
      const { queueId, epoch } = before;
      const writes: Record<string, () => unknown> = {
        bindRun: () => late.bindRun(queueId, epoch, "r-2"),
        finishQueued: () => late.finishQueued(queueId, epoch, "failed", null),
        requeue: () => late.requeue(queueId, epoch, null),
        pauseTaken: () => late.pauseTaken(queueId, epoch),
      };
      for (const [name, write] of Object.entries(writes))
        expect(write, name).toThrow(
          expect.objectContaining({
            code: "LEDGER_FENCED",
            details: { queueId, epoch: 1, current: 2 },
          }),
        );
      expect(late.renewLeases("d1", LEASE_MS, [before])).toEqual({
        held: [],
        lost: [queueId],
      });
      expect(successor.queuedOf(queueId)).toEqual(entry);
      successor.beginAttempt(runId, owner);
      expect(() => late.setStreamState(runId, 1, 1, "reading")).toThrow(
        coded("LEDGER_FENCED"),
      );
    });

    test("a run that was replaced instead of gone on with is fenced off too", ({
      folder,
    }) => {
      const late = folder.open();
      const { runId, epoch } = beginPlannedRun(late);
      beginPlannedRun(folder.open());
      expect(() => late.setStreamState(runId, epoch, 1, "committing")).toThrow(
        coded("LEDGER_FENCED"),
      );
      expect(() => late.finishRun(runId, epoch, "failed", null)).toThrow(
        coded("LEDGER_FENCED"),
      );
      expect(late.findRun(runId).state).toBe("abandoned");
    });

    test("between running out and being taken, the former holder is refused already", ({
      folder,
    }) => {
      const { late, before, successor } = takeOver(folder);
      expect(successor.expireLeases()).toMatchObject([
        { queueId: before.queueId, state: "queued", epoch: 1, daemon: null },
      ]);
      expect(successor.expireLeases()).toEqual([]);
      expect(() =>
        late.finishQueued(before.queueId, before.epoch, "failed", null),
      ).toThrow(coded("LEDGER_FENCED"));
    });

    test("are renewed all at once, late ones too as long as nobody gave them up", ({
      folder,
    }) => {
      const ledger = folder.open();
      for (const sync of ["a", "b", "c"]) add(ledger, sync);
      const mine = take(ledger, "d1", { leaseMs: 0, limit: 2 });
      const other = take(folder.open(), "d2", { limit: 1 });
      // its turn to take gave up the leases that had run out before
      expect(other).toHaveLength(1);
      const held = take(ledger, "d1", { leaseMs: 0 });
      const renewed = ledger.renewLeases("d1", LEASE_MS, held);
      expect(renewed.lost).toEqual([]);
      expect(renewed.held).toHaveLength(held.length);
      expect(ledger.expireLeases()).toEqual([]);
      expect(
        ledger.renewLeases("d1", LEASE_MS, [...mine, ...other]).lost,
      ).toContain(other[0]?.queueId);
    });

    test("of a daemon that is known to be gone are given up at once", ({
      folder,
    }) => {
      const ledger = folder.open();
      for (const sync of ["a", "b"]) add(ledger, sync);
      take(ledger, "d1", { limit: 1 });
      take(ledger, "d2", { limit: 1 });
      expect(syncsOf(ledger.releaseLeases("d1"))).toEqual(["a"]);
      expect(syncsOf(ledger.releaseLeases(null))).toEqual(["b"]);
      expect(ledger.countQueue()).toMatchObject({ queued: 2, taken: 0 });
    });
  });

  describe("orders", () => {
    test("a waiting entry is paused, resumed and cancelled; anything else is refused by name", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { queueId } = add(ledger, "a");
      ledger.pauseQueued(queueId);
      expect(take(ledger)).toEqual([]);
      expect(() => ledger.pauseQueued(queueId)).toThrow(coded("RUN_STATE"));
      ledger.resumeQueued(queueId);
      expect(() => ledger.resumeQueued(queueId)).toThrow(coded("RUN_STATE"));
      const entry = takeOne(ledger);
      for (const order of ["pauseQueued", "cancelQueued"] as const)
        expect(() => ledger[order](queueId)).toThrow(coded("RUN_STATE"));
      ledger.pauseTaken(queueId, entry.epoch);
      expect(ledger.queuedOf(queueId)).toMatchObject({
        state: "paused",
        daemon: null,
        leaseExpiresAt: null,
      });
      ledger.cancelQueued(queueId);
      expect(() => ledger.cancelQueued(queueId)).toThrow(coded("RUN_STATE"));
      for (const unknown of ["q-999", "q-0", "q-", "x", "q-1; DROP"])
        expect(() => ledger.queuedOf(unknown)).toThrow(coded("RUN_NOT_FOUND"));
    });

    test("the queue is listed newest first, by sync, state and page", ({
      folder,
    }) => {
      const ledger = folder.open();
      for (const sync of ["a", "b", "a", "c"]) add(ledger, sync);
      const all = ledger.listQueue({ limit: 9 });
      expect(syncsOf(all)).toEqual(["c", "a", "b", "a"]);
      expect(syncsOf(ledger.listQueue({ sync: "a", limit: 1 }))).toEqual(["a"]);
      const before = String(all[1]?.queueId);
      expect(syncsOf(ledger.listQueue({ before, limit: 9 }))).toEqual([
        "b",
        "a",
      ]);
      ledger.cancelQueued(before);
      expect(ledger.listQueue({ states: ["cancelled"], limit: 9 })).toEqual([
        ledger.queuedOf(before),
      ]);
      expect(ledger.listQueue({ states: [], limit: 9 })).toEqual([]);
      expect(ledger.queuedOfRun("r-1")).toBeNull();
      const entry = takeOne(ledger);
      ledger.bindRun(entry.queueId, entry.epoch, "r-1");
      expect(ledger.queuedOfRun("r-1")?.queueId).toBe(entry.queueId);
    });
  });

  test("a time of a schedule is seen to once, whichever daemon comes first", ({
    folder,
  }) => {
    const [one, other] = [folder.open(), folder.open()];
    expect(one.lastScheduled("a")).toBeNull();
    one.pauseSync("a");
    expect(one.recordScheduled("a", 1_000)).toBe(true);
    expect(other.recordScheduled("a", 1_000)).toBe(false);
    expect(other.recordScheduled("a", 999)).toBe(false);
    expect(other.recordScheduled("a", 2_000)).toBe(true);
    expect(one.lastScheduled("a")).toBe(2_000);
    expect(one.pausedSyncs()).toEqual(["a"]);
    // noting and enqueueing are one: a crash between them would miss the run
    expect(() =>
      one.transaction(() => {
        one.recordScheduled("a", 3_000);
        throw new Error("stopped");
      }),
    ).toThrow("stopped");
    expect(other.lastScheduled("a")).toBe(2_000);
  });

  test("whatever is enqueued, taken, lost and taken over, each item ends in exactly one run", ({
    folder,
  }) => {
    const [one, other] = [folder.open(), folder.open()];
    const order = fc.oneof(
      fc.record({
        kind: fc.constant("add" as const),
        sync: fc.constantFrom("a", "b"),
        key: fc.constantFrom(null, "k"),
      }),
      fc.record({
        kind: fc.constantFrom("take", "crash", "finish", "retry", "bind"),
        daemon: fc.boolean(),
      }),
    );
    let round = 0;
    fc.assert(
      fc.property(fc.array(order, { maxLength: 25 }), (orders) => {
        round++;
        const items: string[] = [];
        const held: QueuedRun[] = [];
        const done: QueuedRun[] = [];
        const finish = (ledger: Ledger, entry: QueuedRun): void => {
          ledger.finishQueued(entry.queueId, entry.epoch, "succeeded", null);
          done.push(entry);
        };
        for (const step of orders) {
          if (step.kind === "add") {
            const item = `${round}-${items.length}`;
            items.push(item);
            const given = {
              key: step.key,
              scope: [item],
              offset: `${round}${items.length.toString().padStart(6, "0")}`,
            };
            expect(add(one, step.sync, given).result).not.toBe("known");
            expect(add(other, step.sync, given).result).toBe("known");
            continue;
          }
          const ledger = "daemon" in step && step.daemon ? one : other;
          if (step.kind === "take") {
            held.push(...take(ledger, "d", { limit: 1 }));
            continue;
          }
          if (step.kind === "crash") {
            ledger.releaseLeases("d");
            held.length = 0;
            continue;
          }
          const entry = held.pop();
          if (!entry) continue;
          if (step.kind === "finish") finish(ledger, entry);
          else if (step.kind === "retry")
            ledger.requeue(entry.queueId, entry.epoch, null);
          else {
            ledger.bindRun(entry.queueId, entry.epoch, "r");
            held.push(entry);
          }
        }
        for (const entry of held) finish(one, entry);
        for (let entries = take(one); entries.length > 0; entries = take(one))
          for (const entry of entries) finish(one, entry);
        const found = done.flatMap(
          ({ scopeJson }) => JSON.parse(scopeJson) as string[],
        );
        expect(found.toSorted()).toEqual(items.toSorted());
      }),
      { numRuns: interleavings },
    );
  });
}
