/** A machine's chart as data, and which of its transitions an actor has taken. */

export interface ChartState {
  /** Keys from the top, parted by dots; empty for the machine itself. */
  readonly path: string;
  readonly key: string;
  readonly parent: string | null;
  readonly kind: "atomic" | "compound" | "parallel" | "final";
  readonly isInitial: boolean;
  readonly entry: readonly string[];
  readonly exit: readonly string[];
  /** What runs as long as it is in this state. */
  readonly invokes: readonly string[];
}

export interface ChartEdge {
  readonly id: string;
  readonly from: string;
  /** Null: it does something and stays. */
  readonly to: string | null;
  /** As it is recorded; empty for one that is taken at once where its guard allows. */
  readonly event: string;
  readonly kind: "event" | "delay" | "always" | "done" | "error";
  /** For people: `read.done`, `after backoff`, `done: seal`. */
  readonly label: string;
  readonly guard: string | null;
  readonly actions: readonly string[];
}

export interface Chart {
  readonly id: string;
  readonly states: readonly ChartState[];
  readonly edges: readonly ChartEdge[];
}

/** Transitions without an event of their own that one step may pass. */
const STEPS_MAX = 4;

/**
 * How often each edge was taken. What is recorded are the states an actor came to rest in: one step may have passed
 * states that it left at once, and ends in a substate of what the edge names.
 * @param took by `transitionKey`
 */
export function countTaken(
  chart: Chart,
  took: Readonly<Record<string, number>>,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [transition, count] of Object.entries(took)) {
    const [from = "", event = "", to = ""] = transition.split("\n");
    if (from === "") continue;
    for (const edge of findPath(chart, from, event, to))
      counts.set(edge.id, (counts.get(edge.id) ?? 0) + count);
  }
  return counts;
}

function findPath(
  chart: Chart,
  from: string,
  event: string,
  to: string,
): readonly ChartEdge[] {
  // parallel regions come as one text: where more than one moved, none is drawn rather than a wrong one
  const leaving = outOf(chart, from);
  const ranked = [
    ...leaving.filter((edge) => event !== "" && edge.event === event),
    ...leaving.filter((edge) => edge.event === ""),
    ...leaving.filter(
      (edge) => edge.kind === "delay" || edge.kind === "done" || event === "",
    ),
  ];
  for (const edge of ranked) if (arrives(edge, to)) return [edge];
  for (const edge of ranked) {
    const rest = follow(chart, edge.to ?? "", to, STEPS_MAX);
    if (rest !== null) return [edge, ...rest];
  }
  return [];
}

function follow(
  chart: Chart,
  from: string,
  to: string,
  steps: number,
): readonly ChartEdge[] | null {
  if (steps === 0) return null;
  for (const edge of outOf(chart, from)) {
    if (edge.event !== "") continue;
    if (arrives(edge, to)) return [edge];
    const rest = follow(chart, edge.to ?? "", to, steps - 1);
    if (rest !== null) return [edge, ...rest];
  }
  return null;
}

/** The innermost state's first, as the machine chooses. */
function outOf(chart: Chart, from: string): ChartEdge[] {
  return chart.edges
    .filter((edge) => edge.to !== null && isIn(from, edge.from))
    .sort((a, b) => b.from.length - a.from.length);
}

function arrives(edge: ChartEdge, to: string): boolean {
  return edge.to !== null && isIn(to, edge.to);
}

/** Whether the state with this path is `outer` or inside of it. */
export function isIn(path: string, outer: string): boolean {
  return outer === "" || path === outer || path.startsWith(`${outer}.`);
}
