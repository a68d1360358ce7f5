/** Finds the ledger that a command means: by its file, by the destination's folder, or in the usual places here. */
import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { ExtractError } from "../../proto/error.ts";
import { Ledger } from "../../checkpoint/store/ledger.ts";
import { resolveLedger } from "../../checkpoint/store/postgres-url.ts";
import type { RunRecord } from "../../checkpoint/store/records.ts";
import { defaultLedgerPath } from "../destinations.ts";
import { quotePath } from "./paths.ts";
import { readDestination, usage } from "./request.ts";

/** Folders that are looked into when none is named. */
const USUAL_FOLDERS = [".", "out"];

export interface LedgerChoice {
  /** A destination, or where it names none: the beginning of a run's id. */
  readonly target: string | undefined;
  readonly destination?: string | undefined;
  /** Of --ledger. */
  readonly path?: string | undefined;
}

export interface OpenLedger {
  readonly ledger: Ledger;
  /** The destination's folder; null when the ledger was named by its own path. */
  readonly root: string | null;
  /** What `target` is when it is no destination. */
  readonly runId: string | null;
}

/**
 * Opens the ledger; the caller closes it.
 * @throws ExtractError RUN_NOT_FOUND naming where it was looked for; USAGE for two destinations
 */
export function openLedger(choice: LedgerChoice): OpenLedger {
  const { target, destination, path } = choice;
  const named = target !== undefined && isDestination(target);
  if (named && destination !== undefined) {
    throw usage(
      `'${target}' and --destination both name a destination; name one`,
    );
  }
  const runId = target === undefined || named ? null : target;
  const folder = named ? target : destination;
  if (path !== undefined) {
    const ledger = Ledger.open(resolveLedger(path, process.cwd()), {
      create: false,
    });
    return {
      ledger,
      root: folder === undefined ? null : readDestination(folder),
      runId,
    };
  }
  const root =
    folder === undefined ? findUsualFolder(runId) : readDestination(folder);
  const file = defaultLedgerPath(root);
  if (!existsSync(file)) throw noLedger(`in ${quotePath(root)}`);
  return { ledger: Ledger.open(file, { create: false }), root, runId };
}

/** Ids of runs begin with `r-`; a folder of such a name is written with `./`. */
function isDestination(text: string): boolean {
  if (!/^r-[-\da-f]*$/.test(text)) return true;
  return statSync(text, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function findUsualFolder(runId: string | null): string {
  const found = USUAL_FOLDERS.map((folder) => resolve(folder)).find((folder) =>
    existsSync(defaultLedgerPath(folder)),
  );
  if (found !== undefined) return found;
  throw noLedger(
    `in this folder or in ./out${runId === null ? "" : `, where ${runId} was looked for`}`,
  );
}

function noLedger(where: string): ExtractError {
  return new ExtractError("RUN_NOT_FOUND", `there is no ledger ${where}`, {
    help: "Name the folder that a sync wrote to, or its ledger with --ledger.",
  });
}

/**
 * The run that is meant: the one of that id, or the newest.
 * @throws ExtractError RUN_NOT_FOUND
 */
export function chooseRun(ledger: Ledger, runId: string | null): RunRecord {
  if (runId !== null) return ledger.findRun(runId);
  const newest = ledger.listRuns({ limit: 1 })[0];
  if (newest !== undefined) return newest;
  throw new ExtractError(
    "RUN_NOT_FOUND",
    `the ledger ${quotePath(ledger.path)} holds no runs`,
    { help: "`millrace sync` begins one." },
  );
}
