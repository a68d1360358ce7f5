/** Postgres as the processes use it: one session per connection, each call in the snapshot's transaction. */
import { ExtractError } from "../../../proto/error.ts";
import type {
  FoundSplit,
  PartitionRead,
  PlanRequest,
  PlanSettings,
  ReadSink,
  ReadTask,
  SnapshotRef,
  SourceDriver,
  SourceSession,
  SplitRequest,
  StreamPlan,
  StreamSelection,
  DiscoveredStream,
} from "../source.ts";
import { checkCondition } from "./condition.ts";
import { PostgresConnection } from "./connection.ts";
import { discover } from "./discover.ts";
import { asSchemaChange } from "./errors.ts";
import { canSplit, findSplit } from "./middle.ts";
import { planPartitions } from "./plan.ts";
import { startRead } from "./reader.ts";
import { HeldSnapshot } from "./snapshot.ts";
import type {
  PostgresDiscovery,
  PostgresReadTask,
  PostgresStream,
} from "./stream.ts";
import { parseSourceUrl } from "./url.ts";

class PostgresSession implements SourceSession {
  readonly #connection: PostgresConnection;
  #lastTurn: Promise<unknown> = Promise.resolve();

  constructor(connection: PostgresConnection) {
    this.#connection = connection;
  }

  get usable(): boolean {
    return this.#connection.usable;
  }

  get serverVersion(): number {
    return this.#connection.serverVersion;
  }

  beginSnapshot(snapshot: SnapshotRef | null): Promise<void> {
    return this.#connection.beginSnapshot(snapshot);
  }

  discover(selection: StreamSelection): Promise<PostgresDiscovery> {
    return discover(this.#connection, selection);
  }

  async planStream(
    stream: DiscoveredStream,
    request: PlanRequest,
    settings: PlanSettings,
  ): Promise<StreamPlan> {
    const known = stream as PostgresStream;
    try {
      return await this.#inside(() => this.#plan(known, request, settings));
    } catch (error) {
      throw nameTable(error, known, request);
    }
  }

  findSplit(
    stream: DiscoveredStream,
    request: SplitRequest,
  ): Promise<FoundSplit | null> {
    return this.#inside(() =>
      findSplit(this.#connection, stream as PostgresStream, request),
    );
  }

  startRead(
    task: ReadTask,
    sink: ReadSink,
    options: { readonly checkpointEveryMs: number },
  ): PartitionRead {
    return startRead(this.#connection, task as PostgresReadTask, sink, options);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  destroy(): void {
    this.#connection.destroy();
  }

  /** One at a time, since a step back to a savepoint is everybody's; what fails leaves the transaction as it was. */
  #inside<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#lastTurn.then(async () => {
      await this.#connection.query("SAVEPOINT planning");
      try {
        return await work();
      } catch (error) {
        if (this.#connection.usable)
          await this.#connection.query("ROLLBACK TO SAVEPOINT planning");
        throw error;
      }
    });
    this.#lastTurn = turn.catch(() => {});
    return turn;
  }

  async #plan(
    stream: PostgresStream,
    { where, cursor }: PlanRequest,
    settings: PlanSettings,
  ): Promise<StreamPlan> {
    const connection = this.#connection;
    if (where !== null) await checkCondition(connection, stream, where);
    let window: StreamPlan["window"] = null;
    if (cursor) {
      const { readCursorWindow } = await import("./cursor-window.ts");
      window = await readCursorWindow(connection, stream, cursor, where);
    }
    const plan = await planPartitions(connection, stream, {
      ...settings,
      filter: {
        where,
        // for estimates: repeats are few, and their list is long
        cursor: window && { ...window, dropRepeats: null },
      },
      bytesPerSecond: null,
    });
    return { plan, window };
  }
}

/** A name that only a condition or a cursor may hold was never there; any other was, when it was discovered. */
function nameTable(
  error: unknown,
  { schema: { namespace, name } }: PostgresStream,
  { where, cursor }: PlanRequest,
): unknown {
  if (!(error instanceof ExtractError)) return error;
  const named = new ExtractError(
    error.code,
    error.message,
    { table: `${namespace}.${name}`, ...error.details },
    { cause: error },
  );
  return where === null && cursor === null ? asSchemaChange(named) : named;
}

export const postgresDriver: SourceDriver = {
  joins: "any-time",
  async connect(url) {
    return new PostgresSession(
      await PostgresConnection.connect(parseSourceUrl(url)),
    );
  },
  canSplit: (stream, partition) =>
    canSplit(stream as PostgresStream, partition),
  holdSnapshot: (url, onLost) =>
    HeldSnapshot.open(parseSourceUrl(url), { onLost }),
};
