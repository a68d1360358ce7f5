/** The change data engine among the processes of a run: a thread of the source has started it. */
import { readdirSync, readFileSync } from "node:fs";

/** Null: there is none now. */
export function findEngine(source: number | null): number | null {
  if (source === null) return null;
  try {
    return (
      readdirSync(`/proc/${source}/task`)
        .flatMap((thread) =>
          readFileSync(`/proc/${source}/task/${thread}/children`, "latin1")
            .split(" ")
            .filter((text) => text.trim() !== "")
            .map(Number),
        )
        .find((pid) =>
          readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(
            "millrace.Main",
          ),
        ) ?? null
    );
  } catch {
    return null;
  }
}
