/** The connections of one channel. A writer has one while its transaction is open. */
import type { DestinationContext } from "../destination.ts";
import type { PostgresDestinationConfig } from "./config.ts";
import { DestinationConnection } from "./connection.ts";
import { connectionName } from "./names.ts";
import { makeStaging, type StreamTables } from "./staging.ts";

/** Idle connections that are kept; partitions of a channel are written one after the other, seldom two at once. */
const IDLE_MAX = 2;

export class ConnectionPool {
  readonly #context: DestinationContext;
  readonly #config: PostgresDestinationConfig;
  readonly #idle: DestinationConnection[] = [];
  readonly #staged = new Set<string>();
  #isClosed = false;

  constructor(context: DestinationContext, config: PostgresDestinationConfig) {
    this.#context = context;
    this.#config = config;
  }

  /**
   * A connection of one's own until `giveBack`, with staging made.
   * @throws ExtractError LEDGER_FENCED, or of the destination
   */
  async take(tables: StreamTables): Promise<DestinationConnection> {
    const connection = this.#takeIdle() ?? (await this.open());
    const { table } = tables.staging;
    if (this.#staged.has(table)) return connection;
    try {
      await makeStaging(connection, this.#context, tables);
    } catch (error) {
      this.giveBack(connection);
      throw error;
    }
    this.#staged.add(table);
    return connection;
  }

  /** Outside of any transaction; one that is lost is dropped. */
  giveBack(connection: DestinationConnection): void {
    if (!connection.usable) return;
    if (!this.#isClosed && this.#idle.length < IDLE_MAX)
      this.#idle.push(connection);
    else void connection.close();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#idle.splice(0).map((one) => one.close()));
  }

  open(): Promise<DestinationConnection> {
    const { syncId, attempt } = this.#context;
    return DestinationConnection.open(
      this.#config.url,
      connectionName(syncId, attempt),
    );
  }

  #takeIdle(): DestinationConnection | null {
    for (;;) {
      const connection = this.#idle.pop();
      if (!connection) return null;
      if (connection.usable) return connection;
    }
  }
}
