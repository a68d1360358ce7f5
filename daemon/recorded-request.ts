/** The request of a run as its ledger holds it: everything but the password. */
import { ExtractError } from "../proto/error.ts";
import type { RunRecord } from "../checkpoint/store/records.ts";
import { buildRequest } from "./config-request.ts";
import type { SyncRequest } from "./request.ts";

/**
 * Reads the recorded request; what an older version did not record takes its default.
 * @throws ExtractError STATE_INCOMPATIBLE when it is no request of this version
 */
export function readRecordedRequest(run: RunRecord): SyncRequest {
  let recorded: unknown;
  try {
    recorded = JSON.parse(run.requestJson);
  } catch (cause) {
    throw incompatible(run, cause);
  }
  if (!isRequest(recorded)) throw incompatible(run);
  const { source, destination } = recorded;
  const defaults = buildRequest({
    url: source.url,
    destination: placeOf(destination),
  });
  return {
    ...defaults,
    ...recorded,
    destination: {
      ...defaults.destination,
      ...destination,
    } as SyncRequest["destination"],
    format: { ...defaults.format, ...recorded.format },
    log: { ...defaults.log, ...recorded.log },
  };
}

/** What a request of today is built with, so that nothing is missing in one of an older version. */
function placeOf(destination: SyncRequest["destination"]): string {
  switch (destination.kind) {
    case "file":
      return destination.root;
    case "airbyte":
      return ".";
    default:
      return destination.url;
  }
}

/** For listings: null for a request of another version. */
export function tryReadRequest(run: RunRecord): SyncRequest | null {
  try {
    return readRecordedRequest(run);
  } catch (error) {
    if (error instanceof ExtractError) return null;
    throw error;
  }
}

function isRequest(value: unknown): value is SyncRequest {
  const request = value as Partial<SyncRequest> | null;
  return (
    typeof request === "object" &&
    typeof request?.source?.url === "string" &&
    typeof request.destination === "object" &&
    typeof placeOf(request.destination) === "string"
  );
}

function incompatible(run: RunRecord, cause?: unknown): ExtractError {
  return new ExtractError(
    "STATE_INCOMPATIBLE",
    `the request of run ${run.runId} was recorded by another version`,
    { run: run.runId },
    { cause },
  );
}
