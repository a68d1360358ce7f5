import { join } from "node:path";
import { describe, expect, vi } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import { SEQUENCE_LAST } from "../../../daemon/triggers/run-results.ts";
import { millrace } from "../../../proto/gen/trigger.js";
import { configOf, test, WAIT } from "./fixture.ts";
import { finished, progress, runSummary, started, tell } from "./run-events.ts";

function beginRun(ledger: Ledger): string {
  ledger.upsertSync({ id: "s-1", name: "orders", source: "x", destination: "y" }); // prettier-ignore
  const owner = { pid: process.pid, pidStartTime: null, runDir: "/run" };
  return ledger.beginRun({ syncId: "s-1", mode: "full-refresh-append", requestJson: "{}", ...owner }).runId; // prettier-ignore
}

describe("the result topic", () => {
  test("tells of each run, keyed by its sync and in its order", async ({
    topics,
    start,
  }) => {
    const { service, ledger, trigger } = await start(configOf(topics));
    const runId = beginRun(ledger);
    service.tell(tell(started(runId), 1_000));
    service.tell(tell(progress(7), 3_000));
    service.tell(tell(finished(runSummary(runId)), 4_000));
    await vi.waitFor(
      () => expect(trigger.health().results?.sent).toBe(3),
      WAIT,
    );
    const told = await topics.read(topics.resultTopic);
    expect(told.map(({ key }) => key)).toEqual(["orders", "orders", "orders"]);
    expect(told.map(({ value }) => JSON.parse(value))).toMatchObject([
      { type: "started", runId, epoch: 1, sequence: 0 },
      { type: "checkpoint", runId, epoch: 1, sequence: 1, rowsDurable: 7 },
      { type: "succeeded", runId, epoch: 1, sequence: SEQUENCE_LAST, rowsDurable: 10 }, // prettier-ignore
    ]);
  });

  test("speaks protobuf where the configuration says so, and so does the trigger topic", async ({
    topics,
    start,
  }) => {
    const config = configOf(topics, { format: "protobuf" });
    const { service, ledger, trigger } = await start(config);
    const { TriggerMessage, RunEventMessage } = millrace.trigger.v1;
    const order = TriggerMessage.encode({ sync: "orders", key: "k" }).finish();
    await topics.send(Buffer.from(order));
    await vi.waitFor(
      () => expect(trigger.health().messages.queued).toBe(1),
      WAIT,
    );
    service.tell(tell(started(beginRun(ledger)), 1_000));
    await vi.waitFor(
      () => expect(trigger.health().results?.sent).toBe(1),
      WAIT,
    );
    const [told] = await topics.read(topics.resultTopic);
    const bytes = Buffer.from(told?.value ?? "", "latin1");
    expect(RunEventMessage.decode(bytes)).toMatchObject({
      type: "started",
      sync: "orders",
    });
  });

  test("is told the end of a run by the next daemon, where the one that ran it died before", async ({
    topics,
    start,
    folder,
  }) => {
    const ledger = Ledger.open(join(folder, "ledger.sqlite"), { create: true });
    const first = await start(configOf(topics), { ledger });
    const runId = beginRun(ledger);
    first.service.tell(tell(started(runId)));
    await vi.waitFor(
      () => expect(first.trigger.health().results?.sent).toBe(1),
      WAIT,
    );
    // its end is in the ledger, and nobody has told it
    ledger.finishRun(runId, 1, "succeeded", null);
    await first.trigger.close();
    const second = await start(configOf(topics), { ledger });
    await vi.waitFor(
      () => expect(second.trigger.health().results?.sent).toBe(1),
      WAIT,
    );
    await second.trigger.close();
    // told once, it is not owed any more
    const third = await start(configOf(topics), { ledger });
    await third.trigger.close();
    const told = await topics.read(topics.resultTopic);
    expect(told.map(({ value }) => JSON.parse(value))).toMatchObject([
      { type: "started", runId, sequence: 0 },
      { type: "succeeded", runId, epoch: 1, sequence: SEQUENCE_LAST, queueId: "q-1" }, // prettier-ignore
    ]);
  });
});
