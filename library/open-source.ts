/** Opens a source: connects, takes a snapshot, finds the tables, and keeps them from being changed under it. */
import { loadSource } from "../connectors/sources/index.ts";
import type {
  DiscoveredStream,
  Discovery,
  HeldSnapshot,
  SourceDriver,
} from "../connectors/sources/source.ts";
import { ExtractError } from "../proto/error.ts";
import { nearestNames } from "../proto/nearest.ts";
import { readSourceUrl } from "../daemon/cli/request.ts";
import { checkReadOptions, checkSourceOptions } from "./options.ts";
import { readBatches } from "./read.ts";
import { Sessions } from "./sessions.ts";
import type {
  ReadOptions,
  Source,
  SourceOptions,
  Table,
  TableReader,
  TableRow,
} from "./types.ts";

const CONNECTIONS_DEFAULT = 4;

/**
 * A server's tables as they are now. It holds a snapshot, and keeps the tables from being dropped or altered, until it is
 * closed: `await using source = await openSource(url)`.
 * @throws ExtractError SOURCE_UNREACHABLE, SOURCE_AUTH_FAILED, SOURCE_TLS_FAILED, SOURCE_TABLE_NOT_FOUND, USAGE
 */
export async function openSource(
  url: string,
  options: SourceOptions = {},
): Promise<Source> {
  checkSourceOptions(options);
  options.signal?.throwIfAborted();
  const known = readSourceUrl(url);
  const opening = new OpenedSource(await loadSource(known), known, options);
  try {
    await opening.open();
    return opening;
  } catch (error) {
    await opening.close();
    options.signal?.throwIfAborted();
    throw error;
  }
}

interface Known {
  readonly stream: DiscoveredStream;
  readonly table: Table;
}

class OpenedSource implements Source {
  readonly #driver: SourceDriver;
  readonly #url: string;
  readonly #options: SourceOptions;
  readonly #closing = new AbortController();
  #snapshot: HeldSnapshot | null = null;
  #sessions: Sessions | null = null;
  #known: readonly Known[] = [];
  #problems: Source["problems"] = [];
  #warnings: readonly string[] = [];
  #closed: Promise<void> | null = null;
  readonly #onAbort = (): void => {
    this.#closing.abort(this.#options.signal?.reason);
    void this.close();
  };

  constructor(driver: SourceDriver, url: string, options: SourceOptions) {
    this.#driver = driver;
    this.#url = url;
    this.#options = options;
    options.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get tables(): readonly Table[] {
    return this.#known.map(({ table }) => table);
  }

  get problems(): Source["problems"] {
    return this.#problems;
  }

  get warnings(): readonly string[] {
    return this.#warnings;
  }

  async open(): Promise<void> {
    const { connections = CONNECTIONS_DEFAULT } = this.#options;
    const snapshot = await this.#driver.holdSnapshot(this.#url, (error) =>
      this.#closing.abort(error),
    );
    this.#snapshot = snapshot;
    const sessions = new Sessions(
      this.#driver,
      this.#url,
      snapshot.ref,
      connections,
    );
    this.#sessions = sessions;
    this.#closing.signal.throwIfAborted();
    await sessions.open();
    const discovery = await this.#discover(sessions);
    const streams = discovery.streams.filter((stream) =>
      this.#isWanted(stream),
    );
    const refused = await snapshot.lockRelations(
      streams.flatMap(({ leaves }) =>
        leaves.map(({ schema, name, oid, fileNode }) => ({
          ...{ schema, name, oid, fileNode },
        })),
      ),
    );
    this.#closing.signal.throwIfAborted();
    const reasons = new Map(refused.map(({ oid, message }) => [oid, message]));
    const reasonOf = ({ leaves }: DiscoveredStream): string | undefined =>
      leaves
        .map(({ oid }) => reasons.get(oid))
        .find((one) => one !== undefined);
    this.#known = streams
      .filter((stream) => reasonOf(stream) === undefined)
      .map((stream) => ({ stream, table: describeTable(stream) }));
    this.#problems = [
      ...discovery.problems.map(({ namespace, name, code, message }) => ({
        ...{ namespace, name, code, message },
      })),
      ...streams.flatMap((stream) => {
        const message = reasonOf(stream);
        if (message === undefined) return [];
        const { namespace, name } = stream.schema;
        const code = "SOURCE_PERMISSION_DENIED";
        return [{ namespace, name, code, message }];
      }),
    ];
    this.#warnings = [...discovery.warnings, ...(snapshot.warnings ?? [])];
  }

  table<Row extends object = TableRow>(
    name: string,
    options: ReadOptions = {},
  ): TableReader<Row> & { readonly table: Table } {
    checkReadOptions(options);
    const { stream, table } = this.#find(name);
    const sessions = this.#sessions;
    if (sessions === null) throw closedError();
    const target = {
      ...{ sessions, stream, table, closing: this.#closing.signal },
      unrepresentable: this.#options.unrepresentable ?? "error",
    };
    return describeReader<Row>(table, () => readBatches<Row>(target, options));
  }

  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #end(): Promise<void> {
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    const error = closedError();
    if (!this.#closing.signal.aborted) this.#closing.abort(error);
    await this.#sessions?.close(error);
    await this.#snapshot?.close().catch(() => {});
  }

  async #discover(sessions: Sessions): Promise<Discovery> {
    const { tables, exclude, columns, unrepresentable } = this.#options;
    const session = await sessions.take();
    try {
      return await session.discover(
        {
          ...{ include: tables ?? [], exclude: exclude ?? [] },
          columns: columns ?? null,
        },
        unrepresentable ?? "error",
      );
    } finally {
      sessions.give(session, true);
    }
  }

  /** A view holds no rows of its own: it is there when it was named, not with everything else. */
  #isWanted({ relationKind }: DiscoveredStream): boolean {
    if ((this.#options.tables ?? []).length > 0) return true;
    return relationKind === "table" || relationKind === "partitioned";
  }

  #find(name: string): Known {
    const found = this.#known.filter(
      ({ table }) => name === table.name || name === nameTable(table),
    );
    const [one] = found;
    if (one && found.length === 1) return one;
    const problem = this.#problems.find(
      (other) => name === other.name || name === nameTable(other),
    );
    const nearest = nearestNames(name, this.tables.map(nameTable))[0];
    throw new ExtractError(
      problem ? "SOURCE_PERMISSION_DENIED" : "SOURCE_TABLE_NOT_FOUND",
      one
        ? `${name} is more than one table; name its schema`
        : (problem?.message ??
            `there is no table ${name}${nearest === undefined ? "" : `; did you mean ${nearest}?`}`),
      { table: name },
    );
  }
}

/** Rows of whatever gives batches; each iteration begins anew. */
function describeReader<Row>(
  table: Table,
  begin: () => ReturnType<typeof readBatches<Row>>,
): TableReader<Row> & { readonly table: Table } {
  return {
    table,
    batches: begin,
    async *[Symbol.asyncIterator]() {
      for await (const batch of begin()) yield* batch.rows();
    },
  };
}

function nameTable({
  namespace,
  name,
}: {
  readonly namespace: string;
  readonly name: string;
}): string {
  return `${namespace}.${name}`;
}

function closedError(): ExtractError {
  return new ExtractError("USAGE", "the source is closed");
}

function describeTable({ schema, leaves }: DiscoveredStream): Table {
  const estimates = leaves.map(({ rowEstimate }) => rowEstimate);
  return {
    namespace: schema.namespace,
    name: schema.name,
    columns: schema.columns.map(({ name, type, nullable, sourceType }) => ({
      ...{ name, kind: type.kind, nullable, sourceType },
      precision: type.precision ?? null,
      scale: type.scale ?? null,
    })),
    key: schema.key ?? [],
    rowsEstimated: estimates.some((rows) => rows < 0)
      ? null
      : estimates.reduce((sum, rows) => sum + rows, 0),
  };
}
