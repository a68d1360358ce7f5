import type { SyncOptions } from "../options.ts";
import { readRequest } from "../request.ts";

/** Runs a sync, or shows its plan. Gives the exit code. */
export async function runSync(
  source: string | undefined,
  destination: string | undefined,
  options: SyncOptions,
): Promise<number> {
  const request = await readRequest(source, destination, options);
  if (options.dryRun === true) {
    const { showPlan } = await import("./plan.ts");
    return showPlan(request, options);
  }
  const { runToEnd } = await import("../run.ts");
  return runToEnd(request, options);
}
