/** `millrace sweep`: removes what dead runs have left, under the lock of each sync. */
import { existsSync } from "node:fs";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import { isPostgresLedger } from "../../../checkpoint/store/postgres-url.ts";
import {
  errorCodes,
  ExtractError,
  toWireError,
  type WireError,
} from "../../../proto/error.ts";
import { loadMillraceConfig } from "../../config.ts";
import { buildRequest } from "../../config-request.ts";
import { defaultLedgerPath, nameDestination } from "../../destinations.ts";
import { identifySync } from "../../identity.ts";
import type { SyncRequest } from "../../request.ts";
import { sweepRunFolders } from "../../sweeper/run-folders.ts";
import { sweepSync, type SyncSweep } from "../../sweeper/sweep-sync.ts";
import { openLedger } from "../ledger-access.ts";
import type { OutputOptions } from "../options.ts";
import { describeError, printJson, printNote, printOut } from "../print.ts";
import { usage } from "../request.ts";
import { sanitize } from "../terminal.ts";
import { printQuantity } from "../values.ts";
import { nameTable } from "../../../proto/table-name.ts";

interface SweepOptions extends OutputOptions {
  readonly file?: string;
  readonly ledger?: string;
  readonly dryRun?: boolean;
}

/** A sync of one ledger that is to be swept. */
interface Chosen {
  /** Its name in the configuration, or the beginning of its id. */
  readonly name: string;
  readonly syncId: string;
  readonly present: SyncRequest | null;
  readonly place: string | null;
}

interface Result {
  readonly name: string;
  readonly sweep: SyncSweep | null;
  readonly error: WireError | null;
}

/** Gives the exit code: that of the first sync that could not be swept, after the others were. */
export async function runSweep(
  target: string | undefined,
  options: SweepOptions,
): Promise<number> {
  const isDry = options.dryRun === true;
  const results: Result[] = [];
  for (const { ledger, syncs } of chooseSyncs(target, options)) {
    try {
      for (const sync of syncs(ledger))
        results.push(await sweepOne(ledger, sync, isDry));
    } finally {
      ledger.close();
    }
  }
  const folders = await sweepRunFolders({ isDry });
  if (options.json === true)
    printJson({
      isDry,
      syncs: results.map(({ name, sweep, error }) => ({
        name,
        ...(sweep ?? { outcome: "nothing", generations: [], removed: 0 }),
        error,
      })),
      folders,
    });
  else tellPeople(results, folders, isDry);
  const failed = results.find(({ error }) => error !== null)?.error;
  if (failed) return errorCodes[failed.code].exitCode;
  return folders.faults.length > 0 ? 1 : 0;
}

async function sweepOne(
  ledger: Ledger,
  { name, syncId, present, place }: Chosen,
  isDry: boolean,
): Promise<Result> {
  try {
    const lock = isDry ? null : ledger.acquireRunLock(syncId);
    try {
      const { signal } = new AbortController();
      const input = { ledger, syncId, present, place, isDry, signal };
      return { name, sweep: await sweepSync(input), error: null };
    } finally {
      lock?.release();
    }
  } catch (error) {
    if (!(error instanceof ExtractError)) throw error;
    return { name, sweep: null, error: toWireError(error) };
  }
}

interface ChosenLedger {
  readonly ledger: Ledger;
  readonly syncs: (ledger: Ledger) => readonly Chosen[];
}

function* chooseSyncs(
  target: string | undefined,
  options: SweepOptions,
): Generator<ChosenLedger> {
  if (options.file !== undefined) {
    if (options.ledger !== undefined)
      throw usage("with -f, the ledger comes from the file");
    yield* chooseOfFile(options.file, target);
    return;
  }
  const { ledger, root, runId } = openLedger({
    target,
    path: options.ledger,
  });
  if (runId !== null) {
    ledger.close();
    throw usage(`'${runId}' is a run; a whole destination is swept`);
  }
  const syncs = () =>
    [...new Set(ledger.listOver(null).map(({ syncId }) => syncId))].map(
      (syncId) => ({ name: syncId, syncId, present: null, place: root }),
    );
  yield { ledger, syncs };
}

function* chooseOfFile(
  file: string,
  name: string | undefined,
): Generator<ChosenLedger> {
  const { syncs } = loadMillraceConfig(file);
  if (name !== undefined && !syncs.has(name))
    throw usage(
      `${file} holds no sync '${name}'`,
      `It holds ${[...syncs.keys()].join(", ")}.`,
    );
  const chosen = [...syncs]
    .filter(([one]) => name === undefined || one === name)
    .map(([one, settings]) => {
      const request = buildRequest(settings);
      const place = nameDestination(request.destination);
      const path = request.ledgerPath ?? defaultLedgerPath(place);
      const syncId = identifySync(request);
      return { path, name: one, syncId, present: request, place };
    });
  for (const [path, ofLedger] of Map.groupBy(chosen, (one) => one.path)) {
    // a sync that never ran has left nothing
    if (!isPostgresLedger(path) && !existsSync(path)) continue;
    const ledger = Ledger.open(path, { create: false });
    yield { ledger, syncs: () => ofLedger };
  }
}

function tellPeople(
  results: readonly Result[],
  { removed, faults }: Awaited<ReturnType<typeof sweepRunFolders>>,
  isDry: boolean,
): void {
  for (const { name, sweep, error } of results) {
    if (error) printNote(`${sanitize(name)}: ${describeError(error)}`);
    else if (sweep) printOut(`${sanitize(name)}: ${describeSweep(sweep)}`);
    for (const one of sweep?.generations ?? [])
      printOut(
        `  ${sanitize(nameTable(one))} generation ${one.generation} of ${one.runId}, ${one.state}`,
      );
  }
  for (const path of removed)
    printOut(`${isDry ? "would remove" : "removed"} ${sanitize(path)}`);
  for (const fault of faults) printNote(sanitize(fault));
  const hasFound = results.some(({ sweep, error }) => sweep ?? error);
  if (!hasFound && removed.length === 0 && faults.length === 0)
    printOut("there is nothing to sweep");
}

function describeSweep({ outcome, generations, removed }: SyncSweep): string {
  const count = printQuantity(generations.length, "generation");
  switch (outcome) {
    case "dry":
      return `what is left of ${count} would be removed`;
    case "busy":
      return "a process of an earlier run still lives; nothing was removed";
    case "swept":
      return `${printQuantity(removed, "thing")} of ${count} removed`;
  }
}
