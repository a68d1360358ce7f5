import type { AfterRunHook } from "../../after-run/config.ts";
import type { SyncOptions } from "../options.ts";
import { readRequest } from "../request.ts";

/** What the file wants to follow a run of the sync. */
async function findHook(
  file: string | undefined,
  name: string | null,
): Promise<AfterRunHook | null> {
  if (file === undefined || name === null) return null;
  const { loadMillraceConfig } = await import("../../config.ts");
  return loadMillraceConfig(file).hooks.get(name) ?? null;
}

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
  return runToEnd(request, options, await findHook(options.file, request.name));
}
