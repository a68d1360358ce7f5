/**
 * The platform's numbers of generations, which it gives with each catalog: rows of one and the same generation belong
 * together, whichever writes have brought them, and rows of older ones go.
 */
import { Ledger } from "../../checkpoint/store/ledger.ts";
import { isPostgresLedger } from "../../checkpoint/store/postgres-url.ts";
import {
  namespaceOf,
  type AirbyteConfiguredStream,
} from "../../connectors/airbyte/messages.ts";
import { existsSync } from "node:fs";
import { defaultLedgerPath, nameDestination } from "../destinations.ts";
import { identifySync } from "../identity.ts";
import type { SyncRequest } from "../request.ts";
import { keyOf } from "./configured-streams.ts";

type Entry = readonly [
  namespace: string | null,
  name: string,
  generation: number | null,
  least: number | null,
];

/** What two catalogs have to have in common for a write to be gone on with: the `version` of its source. */
export function describeGenerations(
  streams: readonly AirbyteConfiguredStream[],
): string {
  const entries = streams.map((one): Entry => [
    one.stream.namespace ?? null,
    one.stream.name,
    one.generation_id ?? null,
    one.minimum_generation_id ?? null,
  ]);
  return JSON.stringify(entries);
}

/** By `keyOf`; streams without a number are left out. */
export function readGenerations({
  source,
}: Pick<SyncRequest, "source">): ReadonlyMap<string, number> {
  const entries = JSON.parse(source.version ?? "[]") as readonly Entry[];
  return new Map(
    entries.flatMap(([namespace, name, generation]) =>
      generation === null
        ? []
        : [
            [
              keyOf({ namespace: namespaceOf({ namespace }) ?? "", name }),
              generation,
            ] as const,
          ],
    ),
  );
}

/** Of which of the platform's generations the newest committed copy of each of these streams is, by `keyOf`. */
export function findCommitted(
  ledger: Ledger,
  syncId: string,
  streams: readonly { readonly namespace: string; readonly name: string }[],
): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  const byRun = new Map<string, ReadonlyMap<string, number>>();
  for (const stream of streams) {
    const { runId = null } =
      ledger
        .generationsOf(syncId, stream.namespace, stream.name)
        .findLast(({ state }) => state === "committed") ?? {};
    if (runId === null) continue;
    const known =
      byRun.get(runId) ??
      readGenerations(
        JSON.parse(ledger.findRun(runId).requestJson) as SyncRequest,
      );
    byRun.set(runId, known);
    const generation = known.get(keyOf(stream));
    if (generation !== undefined) found.set(keyOf(stream), generation);
  }
  return found;
}

/** The ledger of a write, where there is one. */
export function lookIntoLedger<Result>(
  request: SyncRequest,
  look: (ledger: Ledger, syncId: string) => Result,
): Result | null {
  const path =
    request.ledgerPath ??
    defaultLedgerPath(nameDestination(request.destination));
  if (!isPostgresLedger(path) && !existsSync(path)) return null;
  const ledger = Ledger.open(path, { create: true });
  try {
    return look(ledger, identifySync(request));
  } finally {
    ledger.close();
  }
}
