/** How the rows of a run go from its source to its destination, as its request wants it. */
import { readScheme } from "../connectors/sources/url.ts";
import {
  decideArchitecture,
  ownIpc,
  type Architecture,
} from "./architecture-decider.ts";
import type { DestinationRequest } from "./destinations.ts";

/** One step of the rows' way, and how it is made. */
export interface DecidedHop extends Architecture {
  readonly between: string;
}

/**
 * In the order in which rows pass them.
 * @throws ExtractError USAGE for what was asked for and cannot be had
 */
export function listArchitectures({
  source,
  destination,
}: {
  readonly source: { readonly url: string };
  /** Null: none is named yet, and any of ours is meant. */
  readonly destination: Pick<DestinationRequest, "kind"> | null;
}): DecidedHop[] {
  const from = { name: readScheme(source.url) ?? "the source", ipc: ownIpc };
  const to = { name: destination?.kind ?? "a destination", ipc: ownIpc };
  const decided = decideArchitecture({
    ...{ source: from, destination: to, isFileTransfer: false, isReset: false },
    ...{ forced: null, format: null },
  });
  return [{ between: `${from.name} → ${to.name}`, ...decided }];
}

/** For people, in one line. */
export function describeHop({ between, medium, format, reason }: DecidedHop) {
  return `${between}: ${medium} ${format}, ${reason}`;
}
