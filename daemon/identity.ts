/** What makes two calls the same sync, and what of a request is written down. */
import { createHash } from "node:crypto";
import { nameLedger } from "../checkpoint/store/postgres-url.ts";
import { identifyDatabase, removePassword } from "../connectors/sources/url.ts";
import { coverConfig } from "./airbyte/destination-request.ts";
import { nameDestination } from "./destinations.ts";
import { namesOfSource } from "./naming.ts";
import type { SyncRequest } from "./request.ts";

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** Stands in front of a secret's hash. */
const COVERED = "sha256:";

/**
 * The same database into the same folder: streams of it share their generations, whatever tables a call names. A sync
 * with a name is the same wherever its server has moved to; so is a folder that brings its ledger along.
 */
export function identifySync(request: SyncRequest): string {
  const source =
    request.name === null
      ? identifyDatabase(request.source.url)
      : [request.name];
  const folder =
    request.ledgerPath === null ? [] : [nameDestination(request.destination)];
  return hash(JSON.stringify([source, folder]));
}

/**
 * The request as the ledger keeps it and `resume` reads it again. A password is never written down: `resume` takes it
 * from the environment, or from a URL that it is given.
 */
export function recordRequest(request: SyncRequest): string {
  return JSON.stringify({
    ...request,
    mappers: coverSecrets(request.mappers),
    destination: withoutPassword(request.destination),
    source: { ...request.source, url: removePassword(request.source.url) },
    restart: false,
    log: { ...request.log, resync: false },
    ledgerPath: request.ledgerPath && nameLedger(request.ledgerPath),
  });
}

function withoutPassword(
  destination: SyncRequest["destination"],
): SyncRequest["destination"] {
  if (destination.kind === "airbyte") return coverConfig(destination);
  return destination.kind === "postgres"
    ? { ...destination, url: nameDestination(destination) }
    : destination;
}

/** Salts and keys by their hash: a resume can tell whether they are the same, and nobody can read them. */
function coverSecrets(mappers: SyncRequest["mappers"]): unknown {
  return JSON.parse(
    JSON.stringify(mappers, (name, value: unknown) =>
      (name === "salt" || name === "key") &&
      typeof value === "string" &&
      !value.startsWith(COVERED)
        ? `${COVERED}${createHash("sha256").update(value).digest("hex")}`
        : value,
    ),
  );
}

/** Whether a recorded request lacks secrets that its mappers need. */
export function lacksSecrets(recorded: SyncRequest): boolean {
  return JSON.stringify(recorded.mappers ?? []).includes(`:"${COVERED}`);
}

function isSourceNames(naming: SyncRequest["naming"]): boolean {
  return JSON.stringify(naming) === JSON.stringify(namesOfSource);
}

/** What must be equal for an unfinished run to be gone on with; how fast it went may differ. */
export function fingerprintRequest(requestJson: string): string {
  const request = JSON.parse(requestJson) as SyncRequest;
  const {
    format,
    mode,
    naming,
    tables,
    exclude,
    columns,
    where,
    cursor,
    unrepresentable,
    mappers,
    destination,
    narrowing,
    source,
  } = request;
  return hash(
    JSON.stringify([
      format,
      mode,
      tables,
      exclude,
      columns,
      where,
      cursor,
      unrepresentable,
      destination,
      ...(mappers === undefined || mappers.length === 0 ? [] : [mappers]),
      ...(naming === undefined || isSourceNames(naming) ? [] : [naming]),
      ...(narrowing ? [{ narrowing }] : []),
      ...(source.version === undefined ? [] : [{ version: source.version }]),
    ]),
  );
}
