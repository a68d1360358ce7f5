import type { Partition } from "../../proto/partition.ts";

/** `orders pages 0–511`, `id from 1 to before 500`; `…` is open. */
export function describeRange({ split, relation }: Partition): string {
  if (split.kind === "whole") return `${relation.schema}.${relation.name}`;
  if (split.kind === "pages") {
    const end = split.endPage === null ? "…" : split.endPage - 1;
    return `${relation.name} pages ${split.startPage}–${end}`;
  }
  if (split.kind === "log") return `${relation.name} changes`;
  const bound = (key: readonly string[] | null) =>
    key === null ? "…" : key.length === 1 ? key[0] : `(${key.join(", ")})`;
  return `${split.columns.join(", ")} from ${bound(split.start)} to before ${bound(split.end)}`;
}
