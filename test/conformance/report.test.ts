/** The README says what the recorded runs have shown, and these have tried what the suite has. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { repositoryRoot } from "../arrows.ts";
import { findWaiver, listPairs, listScenarios } from "./pairs.ts";
import {
  findResult,
  putSection,
  renderSection,
  type Results,
} from "./report.ts";
import { readResults, runKinds } from "./results.ts";
import { scenarios, type Scenario } from "./scenarios.ts";

const readmePath = join(repositoryRoot, "README.md");
const results: Results = {
  short: readResults("short"),
  full: readResults("full"),
};

test("the README's table is what the results give", () => {
  const readme = readFileSync(readmePath, "utf8");
  const rendered = putSection(readme, renderSection(results));
  if (process.env["MILLRACE_TEST_RECORD"] === "1")
    writeFileSync(readmePath, rendered);
  else expect(rendered, "MILLRACE_TEST_RECORD=1 writes it").toBe(readme);
});

test("a short run of every pair is recorded", () => {
  const missing = listPairs("short").filter(
    (pair) => !findResult(results.short, pair),
  );
  expect(
    missing.map((pair) => `${pair.source.name} into ${pair.destination.name}`),
  ).toEqual([]);
});

describe.each(runKinds)("the %s runs", (kind) => {
  test("have tried every scenario that is not waived, and no other pair", () => {
    const known = listPairs(kind);
    for (const result of results[kind]) {
      const pair = known.find((one) => findResult([result], one));
      if (!pair)
        return expect.fail(`no ${result.source} into ${result.destination}`);
      const names = listScenarios(kind, pair);
      for (const name of names) {
        const { sizes }: Scenario = scenarios[name];
        const expected =
          findWaiver(pair, name) === undefined
            ? sizes
              ? ["passed", "reduced"]
              : ["passed"]
            : ["waived"];
        expect(
          expected,
          `${result.source} into ${result.destination}: ${name}`,
        ).toContain(result.cells[name]);
      }
      expect(Object.keys(result.cells).toSorted()).toEqual(names.toSorted());
    }
  });
});
