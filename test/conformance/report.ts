/** The README's table of what has passed, made from `results/`. Pure. */
import { findWaiver, listPairs, type Pair } from "./pairs.ts";
import type { Outcome, PairResult, RunKind } from "./results.ts";
import { scenarioNames, scenarios, type Scenario } from "./scenarios.ts";

const BEGIN = "<!-- conformance -->";
const END = "<!-- /conformance -->";

export type Results = Readonly<Record<RunKind, readonly PairResult[]>>;

/** Lower case: a heavy scenario at its reduced size. */
const marks: Readonly<
  Record<RunKind, Readonly<Record<Exclude<Outcome, "waived">, string>>>
> = {
  short: { passed: "S", reduced: "s" },
  full: { passed: "F", reduced: "f" },
};

export function findResult(
  results: readonly PairResult[],
  { source, destination }: Pair,
): PairResult | undefined {
  return results.find(
    (one) => one.source === source.name && one.destination === destination.name,
  );
}

/** What stands between the markers, each on a line of its own. */
export function renderSection(results: Results): string {
  const notes: string[] = [];
  const table = renderScenarios(results, notes);
  const others = renderOthers(results);
  return [
    table,
    "",
    [
      "**S** passed in a short run, as CI does it; **F** in a full one (`npm run test:full`).",
      "**s**, **f**: a heavy one at its reduced size.",
      ...notes.map((note, i) => `${superscript(i + 1)} ${note}.`),
    ].join(" "),
    ...(others === null
      ? []
      : [
          "",
          "Scenarios that passed in a full run between the other sources and destinations; the rest is waived as above:",
          "",
          others,
        ]),
    "",
    ...(["short", "full"] as const).flatMap((kind) =>
      results[kind].length === 0 ? [] : [describeRun(kind, results[kind]), ""],
    ),
  ]
    .join("\n")
    .trimEnd();
}

/** Puts the section where the markers are. @throws Error where they are missing */
export function putSection(readme: string, section: string): string {
  const from = readme.indexOf(BEGIN);
  const to = readme.indexOf(END);
  if (from < 0 || to < from) throw new Error(`no ${BEGIN} … ${END}`);
  return `${readme.slice(0, from)}${BEGIN}\n\n${section}\n\n${readme.slice(to)}`;
}

function renderScenarios(results: Results, notes: string[]): string {
  const pairs = listPairs("short");
  const head = pairs.map(
    ({ source, destination }) => `${source.name} → ${destination.name}`,
  );
  const rows = scenarioNames.map((name) => {
    const scenario: Scenario = scenarios[name];
    const { title, sizes } = scenario;
    const cells = pairs.map((pair) => {
      const waiver = findWaiver(pair, name);
      if (waiver !== undefined) return `–${superscript(noteOf(notes, waiver))}`;
      const passed = (["short", "full"] as const).flatMap((kind) => {
        const outcome = findResult(results[kind], pair)?.cells[name];
        return outcome === undefined || outcome === "waived"
          ? []
          : [marks[kind][outcome]];
      });
      const isOnlyReduced =
        sizes !== undefined && pair.source.reducedOnly !== undefined;
      const note = isOnlyReduced
        ? superscript(noteOf(notes, pair.source.reducedOnly))
        : "";
      return passed.length === 0 ? "" : `${passed.join(" ")}${note}`;
    });
    const size = sizes ? `: ${sizes.full} (reduced: ${sizes.reduced})` : "";
    return [`${title}${size}`, ...cells];
  });
  return renderTable(["", ...head], rows);
}

/** The pairs that only a full run tries; null where none has been. */
function renderOthers(results: Results): string | null {
  const shortPairs = listPairs("short");
  const others = listPairs("full").filter(
    (pair) =>
      !shortPairs.some(
        ({ source, destination }) =>
          source === pair.source && destination === pair.destination,
      ),
  );
  const found = others.filter((pair) => findResult(results.full, pair));
  if (found.length === 0) return null;
  const sources = [...new Set(others.map(({ source }) => source))];
  const destinations = [
    ...new Set(others.map(({ destination }) => destination)),
  ];
  const rows = sources.map((source) => [
    source.name,
    ...destinations.map((destination) => {
      const result = findResult(results.full, { source, destination });
      if (!result) return "";
      const passed = Object.values(result.cells).filter(
        (one) => one !== "waived",
      );
      return `${passed.length} of ${scenarioNames.length}`;
    }),
  ]);
  return renderTable(["", ...destinations.map(({ name }) => name)], rows);
}

/** As prettier lays tables out. */
function renderTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = head.map((_, i) =>
    Math.max(3, ...[head, ...rows].map((row) => (row[i] ?? "").length)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  const rule = widths.map((width) => "-".repeat(width));
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}

function describeRun(kind: RunKind, pairs: readonly PairResult[]): string {
  const unique = (list: readonly string[]) => [...new Set(list)].toSorted();
  const dates = unique(pairs.map(({ date }) => date));
  const versions = unique(
    pairs.flatMap(({ versions: all }) => all.split(", ")),
  );
  const minutes = pairs.reduce((sum, { seconds }) => sum + seconds, 0) / 60;
  const name = kind === "short" ? "Short" : "Full";
  return `${name} run, ${dates.join(" and ")}, ${minutes.toFixed(1)} min: ${versions.join(", ")}.`;
}

/** From 1; the same words have one number. */
function noteOf(notes: string[], note: string | undefined): number {
  if (note === undefined) return 0;
  if (!notes.includes(note)) notes.push(note);
  return notes.indexOf(note) + 1;
}

function superscript(number: number): string {
  return String(number).replaceAll(
    /\d/g,
    (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)] ?? "",
  );
}
