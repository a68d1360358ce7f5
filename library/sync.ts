/** A sync in the caller's own process: the bookkeeper of the command line, without its front. */
import {
  buildRequest,
  findContradictions,
  type SyncSettings,
} from "../daemon/config-request.ts";
import { readDestination, readSourceUrl } from "../daemon/cli/request.ts";
import { configOf } from "../daemon/destinations.ts";
import { InlinePool } from "../daemon/inline/pool.ts";
import { ownProcesses, type Placement } from "../daemon/placement.ts";
import type {
  RunEvent,
  RunSummary,
  StreamSummary,
  SyncRequest,
} from "../daemon/request.ts";
import { startRun } from "../daemon/sync.ts";
import { ExtractError, unexplained, type WireError } from "../proto/error.ts";
import { checkSyncOptions } from "./options.ts";
import type {
  SyncedTable,
  SyncEvent,
  SyncOptions,
  SyncSummary,
} from "./types.ts";

/** A timer of nobody, which keeps the process alive while its threads work. */
const ALIVE_MS = 2 ** 30;

/**
 * Moves tables, or goes on with the unfinished run of the same sync. Resolves when all of them are committed.
 * @throws ExtractError with `summary` where the run or one of its tables failed; the signal's reason where it was ended
 */
export async function sync(options: SyncOptions): Promise<SyncSummary> {
  checkSyncOptions(options);
  const { signal, onEvent = () => {} } = options;
  signal?.throwIfAborted();
  const request = await readRequest(options);
  const place = choosePlace(options);
  const alive = setInterval(() => {}, ALIVE_MS);
  try {
    const fitted = place.isShared ? fit(request) : request;
    const run = startRun(fitted, (event) => tell(event, onEvent), {
      placement: place.placement,
    });
    const stop = (): void => run.stop();
    signal?.addEventListener("abort", stop, { once: true });
    try {
      const summary = await run.done;
      if (summary.state === "succeeded") return describeRun(summary);
      if (summary.state === "interrupted") signal?.throwIfAborted();
      throw describeFailure(summary);
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  } finally {
    await place.close();
    clearInterval(alive);
  }
}

interface Place {
  readonly placement: Placement;
  /** By threads of this process. */
  readonly isShared: boolean;
  close(): Promise<void>;
}

/** The engine that reads a log is a process, and lives as long as its run. */
function choosePlace({ runsIn = "threads", mode }: SyncOptions): Place {
  if (runsIn === "processes" || mode === "cdc")
    return { placement: ownProcesses, isShared: false, close: async () => {} };
  const pool = new InlinePool({ threads: 1 });
  const seat = pool.place();
  return {
    isShared: true,
    placement: {
      spawn: (role, listener) => seat.spawn(role, listener),
      enter: async () => {},
      leave: () => {},
    },
    close: async () => {
      await seat.empty();
      await pool.close();
    },
  };
}

/** One thread decodes for one channel; more are for those who wait for their server. */
function fit(request: SyncRequest): SyncRequest {
  if (request.channels !== null) return request;
  return { ...request, channels: 1, readers: 1 };
}

async function readRequest(options: SyncOptions): Promise<SyncRequest> {
  const { source, destination, ledger, ...others } = options;
  const { signal: _, onEvent: __, runsIn: ___, ...plain } = others;
  const settings: SyncSettings = {
    ...plain,
    url: readSourceUrl(source),
    destination: readDestination(destination),
    ...(ledger === undefined ? {} : { ledgerPath: ledger }),
  };
  const [contradiction] = findContradictions(settings);
  if (contradiction)
    throw new ExtractError(
      "USAGE",
      `sync: ${contradiction.setting} ${contradiction.reason}`,
    );
  const request = buildRequest(settings);
  // a URL that its connector refuses is wrong use, and said before anything begins
  await configOf(request);
  return request;
}

function tell(event: RunEvent, onEvent: (event: SyncEvent) => void): void {
  switch (event.type) {
    case "run.started": {
      const { runId, resumed } = event;
      onEvent({
        ...{ type: "started", runId },
        resumed: resumed && {
          rowsKept: resumed.rowsKept,
          rowsToReadAgain: resumed.rowsToReadAgain,
        },
      });
      return;
    }
    case "stream.progress": {
      const { stream, rowsRead, rowsDurable, bytesRead } = event;
      const { namespace, name } = stream;
      const { partitionsDone, partitions } = event;
      onEvent({
        ...{ type: "progress", namespace, name, rowsRead, rowsDurable },
        ...{ bytesRead, partitionsDone, partitions },
      });
      return;
    }
    case "stream.finished":
      onEvent({ type: "table", table: describeTable(event.summary) });
      return;
    case "warning":
      onEvent({ type: "warning", message: event.message });
      return;
    default:
      return;
  }
}

function describeTable(summary: StreamSummary): SyncedTable {
  const { namespace, name, state, rows, rowsKept, bytesRead } = summary;
  const { files, fileBytes, folder, error } = summary;
  return {
    ...{ namespace, name, state, rows, rowsKept, bytesRead, files, fileBytes },
    place: folder,
    error: error && { code: error.code, message: error.message },
  };
}

function describeRun(summary: RunSummary): SyncSummary {
  const { runId, state, elapsedMs, streams } = summary;
  return { runId, state, elapsedMs, tables: streams.map(describeTable) };
}

/** The run's own fault, else that of its first table that failed. */
function describeFailure(summary: RunSummary): ExtractError {
  const failed = summary.streams.find(({ error }) => error !== null);
  const fault: WireError = summary.error ?? failed?.error ?? unexplained;
  const error = new ExtractError(fault.code, fault.message, {
    ...(failed ? { table: `${failed.namespace}.${failed.name}` } : {}),
    ...fault.details,
  });
  return Object.assign(error, { summary: describeRun(summary) });
}
