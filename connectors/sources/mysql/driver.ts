/** MySQL and MariaDB as the processes use them: one session per connection, each call in the snapshot's transaction. */
import { ExtractError } from "../../../proto/error.ts";
import type {
  DiscoveredStream,
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
} from "../source.ts";
import { checkCondition } from "./condition.ts";
import { MysqlConnection } from "./connection.ts";
import { discover } from "./discover.ts";
import { asSchemaChange } from "./errors.ts";
import { canSplit, findSplit } from "./middle.ts";
import { planPartitions } from "./plan.ts";
import { startRead } from "./reader.ts";
import { HeldSnapshot } from "./snapshot.ts";
import { joinSnapshot } from "./snapshot-ref.ts";
import type { MysqlDiscovery, MysqlReadTask, MysqlStream } from "./stream.ts";
import { parseSourceUrl } from "./url.ts";

class MysqlSession implements SourceSession {
  readonly #connection: MysqlConnection;
  #lastTurn: Promise<unknown> = Promise.resolve();

  constructor(connection: MysqlConnection) {
    this.#connection = connection;
  }

  get usable(): boolean {
    return this.#connection.usable;
  }

  get serverVersion(): number {
    return this.#connection.serverVersion;
  }

  beginSnapshot(snapshot: SnapshotRef | null): Promise<void> {
    return joinSnapshot(this.#connection, snapshot);
  }

  discover(selection: StreamSelection): Promise<MysqlDiscovery> {
    return discover(this.#connection, selection);
  }

  async planStream(
    stream: DiscoveredStream,
    request: PlanRequest,
    settings: PlanSettings,
  ): Promise<StreamPlan> {
    const known = stream as MysqlStream;
    try {
      return await this.#inTurn(() => this.#plan(known, request, settings));
    } catch (error) {
      throw nameTable(error, known, request);
    }
  }

  findSplit(
    stream: DiscoveredStream,
    request: SplitRequest,
  ): Promise<FoundSplit | null> {
    return this.#inTurn(() =>
      findSplit(this.#connection, stream as MysqlStream, request),
    );
  }

  startRead(
    task: ReadTask,
    sink: ReadSink,
    options: { readonly checkpointEveryMs: number },
  ): PartitionRead {
    return startRead(this.#connection, task as MysqlReadTask, sink, options);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  destroy(): void {
    this.#connection.destroy();
  }

  /** One after the other. A statement that fails leaves the transaction as it was: there is no need to go back. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#lastTurn.then(work);
    this.#lastTurn = turn.catch(() => {});
    return turn;
  }

  async #plan(
    stream: MysqlStream,
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
  { schema: { namespace, name } }: MysqlStream,
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

export const mysqlDriver: SourceDriver = {
  joins: "at-the-start",
  async connect(url) {
    return new MysqlSession(await MysqlConnection.connect(parseSourceUrl(url)));
  },
  canSplit: (stream, partition) => canSplit(stream as MysqlStream, partition),
  holdSnapshot: (url, onLost) =>
    HeldSnapshot.open(parseSourceUrl(url), { onLost }),
};
