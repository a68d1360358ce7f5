/**
 * The destinations that a sync can be asked for: what each is called, where its ledger lies by default, where a stream
 * ends up, and what its process is given. The one place beside the fronts that tells the kinds apart.
 */
import { join } from "node:path";
import type { FileDestinationConfig } from "../connectors/destinations/file/config.ts";
import { streamFolder } from "../connectors/destinations/layout/names.ts";
import type { DestinationConfig } from "../proto/control.ts";
import type { StreamRef, SyncRequest } from "./request.ts";

export type DestinationRequest = SyncRequest["destination"];

const LEDGER_PATH = ".millrace/ledger.sqlite";

/** As people write it: an absolute folder, or a URL without its password. */
export function nameDestination(destination: DestinationRequest): string {
  return destination.root;
}

/** The ledger of a destination that is named so, where no other was asked for. */
export function defaultLedgerPath(name: string): string {
  return join(name, LEDGER_PATH);
}

/** Where a stream's rows are: a folder, or a table. */
export function placeOf(
  destination: DestinationRequest,
  stream: Pick<StreamRef, "namespace" | "name">,
): string {
  return join(destination.root, streamFolder(destination.pathTemplate, stream));
}

/** What the destination process gets. */
export function configOf({
  destination,
  format,
}: SyncRequest): DestinationConfig {
  const { kind, root, pathTemplate, fileBytesMax } = destination;
  const config: FileDestinationConfig & DestinationConfig = {
    kind,
    root,
    pathTemplate,
    fileBytesMax,
    format,
  };
  return config;
}
