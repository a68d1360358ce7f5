/** The session of a source whose tables are planned by queries: what the databases have in common around their own parts. */
import type { CursorOrder, CursorWindow } from "../../proto/control.ts";
import { ExtractError } from "../../proto/error.ts";
import type { Plan } from "../../proto/partition.ts";
import type { UnrepresentablePolicy } from "../../proto/schema.ts";
import type {
  DiscoveredStream,
  Discovery,
  FoundSplit,
  PartitionRead,
  PlanRequest,
  PlanSettings,
  ReadSink,
  ReadTask,
  RowFilter,
  SnapshotRef,
  SourceSession,
  SplitRequest,
  StreamPlan,
  StreamSelection,
} from "./source.ts";

interface TableConnection {
  readonly usable: boolean;
  readonly serverVersion: number;
  close(): Promise<void>;
  destroy(): void;
}

/** What each database does in its own way. */
export interface TableParts<
  Connection extends TableConnection,
  Stream extends DiscoveredStream,
> {
  beginSnapshot(
    connection: Connection,
    snapshot: SnapshotRef | null,
  ): Promise<void>;
  discover(
    connection: Connection,
    selection: StreamSelection,
    policy: UnrepresentablePolicy,
  ): Promise<Discovery>;
  /** Leaves the transaction as it was where `work` fails. */
  keepTransaction<T>(
    connection: Connection,
    work: () => Promise<T>,
  ): Promise<T>;
  checkCondition(
    connection: Connection,
    stream: Stream,
    where: string,
  ): Promise<void>;
  readCursorWindow(
    connection: Connection,
    stream: Stream,
    order: CursorOrder,
    where: string | null,
  ): Promise<CursorWindow>;
  planPartitions(
    connection: Connection,
    stream: Stream,
    options: PlanSettings & { readonly filter: RowFilter },
  ): Promise<Plan>;
  findSplit(
    connection: Connection,
    stream: Stream,
    request: SplitRequest,
  ): Promise<FoundSplit | null>;
  startRead(
    connection: Connection,
    task: ReadTask<Stream>,
    sink: ReadSink,
    options: { readonly checkpointEveryMs: number },
  ): PartitionRead;
  /** What a query no longer finds was there when it was discovered. */
  asSchemaChange(error: ExtractError): ExtractError;
}

export class TableSession<
  Connection extends TableConnection,
  Stream extends DiscoveredStream,
> implements SourceSession {
  readonly #connection: Connection;
  readonly #parts: TableParts<Connection, Stream>;
  #lastTurn: Promise<unknown> = Promise.resolve();

  constructor(connection: Connection, parts: TableParts<Connection, Stream>) {
    this.#connection = connection;
    this.#parts = parts;
  }

  get usable(): boolean {
    return this.#connection.usable;
  }

  get serverVersion(): number {
    return this.#connection.serverVersion;
  }

  beginSnapshot(snapshot: SnapshotRef | null): Promise<void> {
    return this.#parts.beginSnapshot(this.#connection, snapshot);
  }

  discover(
    selection: StreamSelection,
    policy: UnrepresentablePolicy,
  ): Promise<Discovery> {
    return this.#parts.discover(this.#connection, selection, policy);
  }

  async planStream(
    stream: DiscoveredStream,
    request: PlanRequest,
    settings: PlanSettings,
  ): Promise<StreamPlan> {
    const known = stream as Stream;
    try {
      return await this.#inTurn(() => this.#plan(known, request, settings));
    } catch (error) {
      throw this.#nameTable(error, known, request);
    }
  }

  findSplit(
    stream: DiscoveredStream,
    request: SplitRequest,
  ): Promise<FoundSplit | null> {
    return this.#inTurn(() =>
      this.#parts.findSplit(this.#connection, stream as Stream, request),
    );
  }

  startRead(
    task: ReadTask,
    sink: ReadSink,
    options: { readonly checkpointEveryMs: number },
  ): PartitionRead {
    return this.#parts.startRead(
      this.#connection,
      task as ReadTask<Stream>,
      sink,
      options,
    );
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  destroy(): void {
    this.#connection.destroy();
  }

  /** One at a time: a connection has one request under way, and a step back in a transaction is everybody's. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#lastTurn.then(() =>
      this.#parts.keepTransaction(this.#connection, work),
    );
    this.#lastTurn = turn.catch(() => {});
    return turn;
  }

  async #plan(
    stream: Stream,
    { where, cursor }: PlanRequest,
    settings: PlanSettings,
  ): Promise<StreamPlan> {
    const connection = this.#connection;
    const parts = this.#parts;
    if (where !== null) await parts.checkCondition(connection, stream, where);
    const window =
      cursor &&
      (await parts.readCursorWindow(connection, stream, cursor, where));
    const plan = await parts.planPartitions(connection, stream, {
      ...settings,
      filter: {
        where,
        // for estimates: repeats are few, and their list is long
        cursor: window && { ...window, dropRepeats: null },
      },
    });
    return { plan, window };
  }

  /** A name that only a condition or a cursor may hold was never there; any other was, when it was discovered. */
  #nameTable(
    error: unknown,
    { schema: { namespace, name } }: Stream,
    { where, cursor }: PlanRequest,
  ): unknown {
    if (!(error instanceof ExtractError)) return error;
    const named = new ExtractError(
      error.code,
      error.message,
      { table: `${namespace}.${name}`, ...error.details },
      { cause: error },
    );
    return where === null && cursor === null
      ? this.#parts.asSchemaChange(named)
      : named;
  }
}
