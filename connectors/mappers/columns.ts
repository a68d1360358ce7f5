/** Steps that leave the values alone: select, drop, rename. */
import type { PlannedStep, StepContext, TrackedColumn } from "./step.ts";

export function planSelect(
  names: readonly string[],
  context: StepContext,
): PlannedStep {
  const kept = context.findEach(names, ["select"]);
  const isKept = new Set(kept);
  context.columns.forEach((tracked, i) => {
    if (!isKept.has(i)) context.checkGone(tracked, "left out", ["select"]);
  });
  return keepColumns(kept, context.columns);
}

export function planDrop(
  names: readonly string[],
  context: StepContext,
): PlannedStep {
  const dropped = new Set(context.findEach(names, ["drop"]));
  for (const i of dropped)
    context.checkGone(context.columns[i]!, "left out", ["drop"]);
  const kept = context.columns.map((_, i) => i);
  if (dropped.size === kept.length)
    context.fail(["drop"], "no column would be left");
  return keepColumns(
    kept.filter((i) => !dropped.has(i)),
    context.columns,
  );
}

function keepColumns(
  kept: readonly number[],
  columns: readonly TrackedColumn[],
): PlannedStep {
  return {
    columns: kept.map((i) => columns[i]!),
    apply: (batch) => ({
      rowCount: batch.rowCount,
      columns: kept.map((i) => batch.columns[i]!),
    }),
  };
}

/** All at once, so that two columns can change their names. */
export function planRename(
  names: Readonly<Record<string, string>>,
  context: StepContext,
): PlannedStep {
  const renamed = new Map<number, string>();
  for (const [from, to] of Object.entries(names)) {
    const index = context.find(from, ["rename", from]);
    if (index !== null) renamed.set(index, to);
  }
  const seen = new Set<string>();
  const columns = context.columns.map((tracked, i) => {
    const { column } = tracked;
    const name = renamed.get(i) ?? column.name;
    if (seen.has(name))
      context.fail(["rename"], `two columns would be called ${name}`);
    seen.add(name);
    return { ...tracked, column: { ...column, name } };
  });
  return { columns, apply: (batch) => batch };
}
