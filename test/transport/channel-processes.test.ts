import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";
import { describe, expect } from "vitest";
import { test as base } from "./pair.ts";
import type { PeerEvent, PeerOrder } from "./peer-main.ts";

const main = fileURLToPath(new URL("peer-main.ts", import.meta.url));
const BATCHES = 150;
const ROWS = BATCHES * 512;
/** Of the first byte of each column, which is the sequence number, modulo 256. */
const SUM = (2 * (BATCHES * (BATCHES + 1))) / 2;

interface Peer {
  readonly process: ChildProcess;
  readonly events: PeerEvent[];
  /** The first event of this kind, past or to come. */
  until<K extends PeerEvent["event"]>(
    event: K,
  ): Promise<Extract<PeerEvent, { event: K }>>;
}

const test = base.extend<{ peer: (order: Omit<PeerOrder, "path">) => Peer }>({
  peer: async ({ path }, use) => {
    const started: ChildProcess[] = [];
    await use((order) => {
      const child = spawn(
        process.execPath,
        [main, JSON.stringify({ ...order, path })],
        { stdio: ["ignore", "pipe", "inherit"] },
      );
      started.push(child);
      const events: PeerEvent[] = [];
      let wake = (): void => {};
      createInterface({ input: child.stdout }).on("line", (line) => {
        events.push(JSON.parse(line) as PeerEvent);
        wake();
      });
      return {
        process: child,
        events,
        until: async (kind) => {
          for (;;) {
            const found = events.find(({ event }) => event === kind);
            if (found) return found as never;
            await new Promise<void>((resolve) => (wake = resolve));
          }
        },
      };
    });
    for (const child of started) child.kill("SIGKILL");
  },
});

/** Long enough that only what is meant to end a channel ends it. */
const patient = { probeDeadlineMs: 20_000 };
const quick = { probeDeadlineMs: 1000 };

describe("two processes", () => {
  test("move 300 MB with memory that does not grow with it", async ({
    peer,
  }) => {
    const source = peer({ role: "source", ...patient, batches: BATCHES });
    const destination = peer({ role: "destination", ...patient });
    const end = await destination.until("end");
    expect(end).toMatchObject({ rows: ROWS, sum: SUM });
    expect(await destination.until("closed")).toMatchObject({ error: null });
    expect(await source.until("closed")).toMatchObject({ error: null });
    const sent = await source.until("end");
    expect(end.grownBytes).toBeLessThan(64 * 1024 * 1024);
    expect(sent.grownBytes).toBeLessThan(64 * 1024 * 1024);
  });

  test("a consumer that rests holds the source at a batch or two", async ({
    peer,
  }) => {
    const source = peer({ role: "source", ...quick, batches: BATCHES });
    const destination = peer({ role: "destination", ...quick, restMs: 2500 });
    await destination.until("connected");
    await sleep(1500);
    const written = source.events.filter(({ event }) => event === "batch");
    expect(written.length).toBeLessThanOrEqual(2);
    expect(await destination.until("end")).toMatchObject({ rows: ROWS });
    const sent = await source.until("end");
    expect(sent.grownBytes).toBeLessThan(64 * 1024 * 1024);
    expect(await source.until("closed")).toMatchObject({ error: null });
  });

  test.for(["source", "destination"] as const)(
    "a killed %s is seen at once by the other",
    async (victim, { peer }) => {
      const peers = {
        source: peer({ role: "source", ...patient, batches: 100_000 }),
        destination: peer({ role: "destination", ...patient }),
      };
      const survivor = victim === "source" ? peers.destination : peers.source;
      await peers.destination.until("batch");
      peers[victim].process.kill("SIGKILL");
      // long before the deadline of the probes
      const { error } = await Promise.race([
        survivor.until("closed"),
        sleep(10_000, { error: { code: "nothing seen" } }),
      ]);
      expect(error).toMatchObject({ code: "CHANNEL_BROKEN" });
    },
  );

  test.for(["source", "destination"] as const)(
    "a %s killed while the consumer rests is seen too",
    async (victim, { peer }) => {
      const source = peer({ role: "source", ...quick, batches: 100_000 });
      const destination = peer({
        role: "destination",
        ...quick,
        restMs: 2000,
      });
      await Promise.all([
        source.until("connected"),
        destination.until("connected"),
      ]);
      (victim === "source" ? source : destination).process.kill("SIGKILL");
      const survivor = victim === "source" ? destination : source;
      expect(await survivor.until("closed")).toMatchObject({
        error: { code: "CHANNEL_BROKEN" },
      });
    },
  );

  test.for(["source", "destination"] as const)(
    "a stopped %s is PEER_STALLED for the other, whatever it was doing",
    async (victim, { peer }) => {
      const peers = {
        source: peer({ role: "source", ...quick, batches: 100_000 }),
        destination: peer({ role: "destination", ...quick }),
      };
      const survivor = victim === "source" ? peers.destination : peers.source;
      await peers.destination.until("batch");
      peers[victim].process.kill("SIGSTOP");
      expect(await survivor.until("closed")).toMatchObject({
        error: { code: "PEER_STALLED", details: { channel: 1, peer: victim } },
      });
      peers[victim].process.kill("SIGCONT");
      expect((await peers[victim].until("closed")).error).not.toBeNull();
    },
  );
});
