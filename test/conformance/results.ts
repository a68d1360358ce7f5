/** What a run of the suite has shown, as it is kept in `results/`: one file for short runs, one for full ones. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { ScenarioName } from "./scenarios.ts";

export const runKinds = ["short", "full"] as const;
export type RunKind = (typeof runKinds)[number];

/** `reduced`: passed, a heavy scenario at its reduced size. A waiver's reason is in the driver. */
export type Outcome = "passed" | "reduced" | "waived";

/** One source into one destination: all scenarios of one run that it has. */
export interface PairResult {
  readonly source: string;
  readonly destination: string;
  /** `2026-01-31`, UTC. */
  readonly date: string;
  /** Of what took part: `Node.js 24.21.0, PostgreSQL 15.18`. */
  readonly versions: string;
  readonly seconds: number;
  readonly cells: Readonly<Partial<Record<ScenarioName, Outcome>>>;
}

const pathOf = (kind: RunKind): string =>
  fileURLToPath(new URL(`results/${kind}.json`, import.meta.url));

export function readResults(kind: RunKind): readonly PairResult[] {
  const path = pathOf(kind);
  return existsSync(path)
    ? (JSON.parse(readFileSync(path, "utf8")) as PairResult[])
    : [];
}

/** Puts a pair in the place of what an earlier run has shown of it. */
export function recordResult(kind: RunKind, result: PairResult): void {
  const isSame = (one: PairResult) =>
    one.source === result.source && one.destination === result.destination;
  const others = readResults(kind).filter((one) => !isSame(one));
  const all = [...others, result].toSorted((a, b) =>
    nameOf(a) < nameOf(b) ? -1 : 1,
  );
  writeFileSync(pathOf(kind), `${JSON.stringify(all, null, 2)}\n`);
}

function nameOf({ source, destination }: PairResult): string {
  return `${source} ${destination}`;
}
