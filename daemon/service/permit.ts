/** What a run asks of the servers it meets, for the limits of the queue. */
import { availableParallelism } from "node:os";
import type { RunPermit } from "../../actors/daemon/permits.ts";
import { identifyDatabase, readScheme } from "../../connectors/sources/url.ts";
import { nameDestination } from "../destinations.ts";
import type { SyncRequest } from "../request.ts";

/** Beside its readers' a run has the keeper's connection, and one for questions. */
const CONNECTIONS_BESIDE = 2;

function nameServer(url: string): string {
  // host, port and database come last, whatever stands before them
  const [host, port] = identifyDatabase(url).slice(-3);
  return `${readScheme(url)}://${host}:${port}`;
}

function channelsOf({ channels, readers }: SyncRequest): number {
  return channels ?? Math.max(readers ?? 0, 2 * availableParallelism());
}

export function describePermit(sync: string, request: SyncRequest): RunPermit {
  const isMadeUp = readScheme(request.source.url) === "generator";
  return {
    sync,
    source: isMadeUp ? "generator:" : nameServer(request.source.url),
    destination: nameDestination(request.destination),
    connections: isMadeUp ? 0 : channelsOf(request) + CONNECTIONS_BESIDE,
  };
}

/** The request with no more channels than its permit has connections for. */
export function fitToPermit(
  request: SyncRequest,
  { connections }: RunPermit,
): SyncRequest {
  if (connections === 0) return request;
  const channels = Math.min(
    channelsOf(request),
    Math.max(1, connections - CONNECTIONS_BESIDE),
  );
  const readers =
    request.readers === null ? null : Math.min(request.readers, channels);
  return { ...request, channels, readers };
}
