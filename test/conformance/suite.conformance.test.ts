/**
 * Every source into every destination. MILLRACE_TEST_FULL=1 takes all pairs, and the heavy scenarios at their full
 * size; MILLRACE_TEST_RECORD=1 writes what has passed into `results/`.
 */
import { afterAll, describe, test } from "vitest";
import { Unavailable } from "./drivers.ts";
import { findWaiver, isFullSize, listPairs, listScenarios } from "./pairs.ts";
import { recordResult, type Outcome, type RunKind } from "./results.ts";
import { scenarios, type Scenario, type ScenarioName } from "./scenarios.ts";

const kind: RunKind =
  process.env["MILLRACE_TEST_FULL"] === "1" ? "full" : "short";
const isRecorded = process.env["MILLRACE_TEST_RECORD"] === "1";

/** 5,000 tables on a loaded machine. */
const FULL_SIZE_MS_MAX = 1_800_000;

/** What is open, last first. */
async function closeAll(open: readonly { close(): Promise<void> }[]) {
  for (const one of open.toReversed()) await one.close();
}

for (const pair of listPairs(kind)) {
  const { source: driver, destination: target } = pair;
  describe(`${driver.name} into ${target.name}`, () => {
    const cells: Partial<Record<ScenarioName, Outcome>> = {};
    const versions = new Set([`Node.js ${process.versions.node}`]);
    let seconds = 0;

    const names = listScenarios(kind, pair);
    for (const name of names) {
      const scenario: Scenario = scenarios[name];
      const waiver = findWaiver(pair, name);
      const isFull = isFullSize(kind, pair);
      test(
        scenario.title,
        isFull ? { timeout: FULL_SIZE_MS_MAX } : {},
        async ({ skip }) => {
          if (waiver !== undefined) {
            cells[name] = "waived";
            return skip(waiver);
          }
          const startedAt = performance.now();
          const open: { close(): Promise<void> }[] = [];
          try {
            const source = await driver.open(isFull);
            open.push(source);
            const destination = await target.open();
            open.push(destination);
            versions.add(source.version);
            if (destination.version !== null) versions.add(destination.version);
            const bench = { driver, source, target, destination };
            await scenario.run({ ...bench, isFullSize: isFull });
          } catch (error) {
            if (error instanceof Unavailable) return skip(error.message);
            throw error;
          } finally {
            await closeAll(open);
            seconds += (performance.now() - startedAt) / 1000;
          }
          cells[name] =
            scenario.sizes === undefined || isFull ? "passed" : "reduced";
        },
      );
    }

    afterAll(() => {
      console.log(
        `${driver.name} into ${target.name}: ${Object.keys(cells).length} of ${names.length} scenarios in ${seconds.toFixed(1)} s`,
      );
      const isComplete = names.every((name) => name in cells);
      if (!isRecorded || !isComplete) return;
      recordResult(kind, {
        source: driver.name,
        destination: target.name,
        date: new Date().toISOString().slice(0, 10),
        versions: [...versions].join(", "),
        seconds: Math.round(seconds),
        cells,
      });
    });
  });
}
