/**
 * Removes what the dead runs of one sync have left at its destination: staging tables, uploads that were never
 * completed, half files. The caller holds the sync's lock. What goes is what the ledger's intents name of generations
 * that are over, and nothing else.
 */
import { realpathSync } from "node:fs";
import { hostname } from "node:os";
import { mayBeAlive } from "../../checkpoint/store/process-identity.ts";
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import type { GenerationOver } from "../../checkpoint/store/sweeps.ts";
import type { AttemptRef, GenerationIntent } from "../../proto/control.ts";
import { configOf, nameDestination } from "../destinations.ts";
import { nameAtDestination } from "../naming.ts";
import { readRecordedRequest } from "../recorded-request.ts";
import type { SyncRequest } from "../request.ts";
import { cleanDestination } from "./clean-destination.ts";

/** What runs of another host are doing nobody here sees; after a day without a sign nothing of them is left. */
const ELSEWHERE_OVER_MS = 86_400_000;

export interface SyncSweep {
  readonly syncId: string;
  /** `busy`: a process of an earlier run still lives; the next sweep looks again. */
  readonly outcome: "swept" | "dry" | "busy";
  readonly generations: readonly GenerationOver[];
  /** How many tables, objects, uploads and files are gone. */
  readonly removed: number;
}

export interface SweepInput {
  readonly ledger: Ledger;
  readonly syncId: string;
  /** As configured now, with its passwords; null: only what the runs have recorded is known. */
  readonly present: SyncRequest | null;
  /**
   * The only destination in which anything is removed: a ledger that was copied along with its folder names the other
   * one, whose files may be another's by now. Null: wherever the runs have written.
   */
  readonly place: string | null;
  readonly isDry: boolean;
  readonly signal: AbortSignal;
}

/**
 * Null where there is nothing to do.
 * @throws ExtractError of the destination; what was not removed stays for the next sweep
 */
export async function sweepSync(input: SweepInput): Promise<SyncSweep | null> {
  const { ledger, syncId, isDry, signal } = input;
  const requests = new RunRequests(input);
  const generations = ledger
    .listOver(syncId)
    .filter(({ runId }) => requests.isHere(runId));
  if (generations.length === 0) return null;
  const swept = { syncId, generations, removed: 0 };
  if (isDry) return { ...swept, outcome: "dry" };
  const [newest] = ledger.listRuns({ syncIds: [syncId], limit: 1 });
  const runIds = new Set(generations.map(({ runId }) => runId));
  if (!newest || isAtWork(ledger, [...runIds, newest.runId], newest.startedAt))
    return { ...swept, outcome: "busy" };
  // what a failing machine could make count again is not removed
  await ledger.settled();
  let removed = 0;
  const done: GenerationOver[] = [];
  const faults: unknown[] = [];
  // the holder of the destination stays who it was: a resume of that run takes the next epoch
  const attempt = { runId: newest.runId, epoch: newest.epoch };
  for (const runId of runIds) {
    if (signal.aborted) break;
    const ofRun = generations.filter((one) => one.runId === runId);
    try {
      removed += await cleanRun(input, attempt, requests.of(runId), ofRun);
      ledger.recordSwept(ofRun);
      done.push(...ofRun);
    } catch (error) {
      // its destination may be another one than that of the runs after it
      faults.push(error);
    }
  }
  if (faults.length > 0) throw faults[0];
  return { syncId, generations: done, removed, outcome: "swept" };
}

async function cleanRun(
  input: SweepInput,
  attempt: AttemptRef,
  request: SyncRequest,
  generations: readonly GenerationOver[],
): Promise<number> {
  const { ledger, syncId, signal } = input;
  const intents = intentsOf(ledger, request, generations);
  if (intents.length === 0) return 0;
  return cleanDestination(
    {
      attempt,
      syncId: `${ledger.id}-${syncId}`,
      config: await configOf(request),
      intents,
    },
    signal,
  );
}

/** Keepers write nowhere. Workers of this very process are of runs that hold the lock, which is ours now. */
function isAtWork(
  ledger: Ledger,
  runIds: readonly string[],
  newestStartedAt: number,
): boolean {
  const isLongAgo = ledger.now() - newestStartedAt > ELSEWHERE_OVER_MS;
  return runIds
    .flatMap((runId) => ledger.processesOf(runId))
    .filter(({ role, pid }) => role !== "keeper" && pid !== process.pid)
    .filter(({ host }) => !isLongAgo || (host ?? hostname()) === hostname())
    .some((one) => mayBeAlive(one));
}

/** Where and how each run wrote: the sync may be configured otherwise by now. Passwords are those of now. */
class RunRequests {
  readonly #input: SweepInput;
  readonly #known = new Map<string, SyncRequest>();

  constructor(input: SweepInput) {
    this.#input = input;
  }

  /** @throws ExtractError STATE_INCOMPATIBLE */
  of(runId: string): SyncRequest {
    const { ledger, present } = this.#input;
    const known = this.#known.get(runId);
    if (known) return known;
    const recorded = readRecordedRequest(ledger.findRun(runId));
    const request = present ? takePassword(recorded, present) : recorded;
    this.#known.set(runId, request);
    return request;
  }

  isHere(runId: string): boolean {
    const { place } = this.#input;
    if (place === null) return true;
    const wrote = nameDestination(this.of(runId).destination);
    return wrote === place || resolveLinks(wrote) === resolveLinks(place);
  }
}

function takePassword(
  recorded: SyncRequest,
  present: SyncRequest,
): SyncRequest {
  const { destination } = recorded;
  const isSame =
    nameDestination(destination) === nameDestination(present.destination);
  return isSame &&
    destination.kind === "postgres" &&
    present.destination.kind === "postgres"
    ? {
        ...recorded,
        destination: { ...destination, url: present.destination.url },
      }
    : recorded;
}

function resolveLinks(place: string): string {
  try {
    return realpathSync(place);
  } catch {
    // a URL, or a folder that is gone
    return place;
  }
}

function intentsOf(
  ledger: Ledger,
  { naming }: SyncRequest,
  generations: readonly GenerationOver[],
): GenerationIntent[] {
  const [first] = generations;
  if (!first) return [];
  const wrote = ledger.intentsOf({ runId: first.runId });
  return generations.flatMap(({ namespace, name, generation }) => {
    const epochs = wrote
      .filter(
        (intent) =>
          intent.namespace === namespace &&
          intent.name === name &&
          intent.generation === generation,
      )
      .map(({ epoch }) => epoch);
    if (epochs.length === 0) return [];
    return [
      {
        ...nameAtDestination(naming, { namespace, name }),
        generation,
        epochs: [...new Set(epochs)],
        currentEpoch: null,
      },
    ];
  });
}
