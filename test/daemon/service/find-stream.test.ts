/** Which stream an order means: of all that runs of the sync have met, whether or not the last one had it. */
import { expect } from "vitest";
import { findStream } from "../../../daemon/service/orders.ts";
import {
  beginPlannedRun,
  makeStream,
  sync,
  test,
} from "../../checkpoint/store/fixtures.ts";

test("a stream of an earlier run is found, also where it failed there, and one that no run has met is not", ({
  folder,
}) => {
  const ledger = folder.open();
  const { runId, epoch } = beginPlannedRun(ledger, { streams: 2 });
  for (const number of [1, 2])
    ledger.setStreamState(runId, epoch, number, "failed");
  ledger.finishRun(runId, epoch, "failed", null);
  beginPlannedRun(ledger, { streams: 1 });
  for (const name of ["t2", "public.t2"])
    expect(findStream(ledger, sync.id, name)).toEqual({
      namespace: "public",
      name: "t2",
    });
  expect(() => findStream(ledger, sync.id, "public.t22")).toThrow(
    /no run has met a stream public\.t22; did you mean public\.t2/,
  );
  expect(() => findStream(ledger, "another", "t2")).toThrow(/no run has met/);
});

test("a name that two schemas have is refused, whichever of them the last run had", ({
  folder,
}) => {
  const ledger = folder.open();
  const { runId, epoch } = beginPlannedRun(ledger, { streams: 1 });
  ledger.putStream(runId, epoch, {
    ...makeStream(2, ledger.nextGeneration(sync.id, "archive", "t1")),
    ...{ namespace: "archive", name: "t1" },
  });
  for (const number of [1, 2])
    ledger.setStreamState(runId, epoch, number, "failed");
  ledger.finishRun(runId, epoch, "failed", null);
  beginPlannedRun(ledger, { streams: 1 });
  expect(() => findStream(ledger, sync.id, "t1")).toThrow(/name its schema/);
  expect(findStream(ledger, sync.id, "archive.t1").namespace).toBe("archive");
});
