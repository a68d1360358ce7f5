/** Which source is tried into which destination, by which run, at which sizes. */
import { destinations } from "./destinations/index.ts";
import type { DestinationDriver, SourceDriver } from "./drivers.ts";
import type { RunKind } from "./results.ts";
import {
  scenarioNames,
  scenarios,
  type Scenario,
  type ScenarioName,
} from "./scenarios.ts";
import { sources } from "./sources/index.ts";

const [firstSource] = sources;
const [firstDestination] = destinations;

export interface Pair {
  readonly source: SourceDriver;
  readonly destination: DestinationDriver;
}

/** Short: every source into the first destination, the first source into every other. Full: everything. */
export function listPairs(kind: RunKind): Pair[] {
  return sources.flatMap((source) =>
    destinations
      .filter(
        (destination) =>
          kind === "full" ||
          source === firstSource ||
          destination === firstDestination,
      )
      .map((destination) => ({ source, destination })),
  );
}

/**
 * Short: all into the first destination, into the others none of the heavy ones, and into its other formats those that
 * depend on the format. Full: all.
 */
export function listScenarios(
  kind: RunKind,
  { destination }: Pair,
): ScenarioName[] {
  if (kind === "full" || destination === firstDestination)
    return [...scenarioNames];
  return scenarioNames.filter((name) => {
    const { sizes, isOfFormat = false }: Scenario = scenarios[name];
    return destination.isFormatOnly ? isOfFormat : sizes === undefined;
  });
}

/** Once for each engine: the others would only wait for the same server and the same code. */
export function isFullSize(
  kind: RunKind,
  { source, destination }: Pair,
): boolean {
  if (kind === "short" || source.reducedOnly !== undefined) return false;
  return (
    destination === firstDestination ||
    (source === firstSource && destination.isEngine)
  );
}

export function findWaiver(
  { source, destination }: Pair,
  name: ScenarioName,
): string | undefined {
  return source.waivers[name] ?? destination.waivers[name];
}
