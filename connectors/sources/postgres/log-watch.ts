/**
 * What the server keeps of its log for our slot, looked at over a connection of its own while another one reads it: that
 * the slot is there and still ours, and how much it keeps.
 */
import { ExtractError } from "../../../proto/error.ts";
import type { LogMeasure } from "../../../proto/log-budget.ts";
import { KeptConnection } from "../kept-connection.ts";
import type { LogNames, LogWatch } from "../source.ts";
import { PostgresConnection } from "./connection.ts";
import { dropSlot } from "./replication-slot.ts";
import type { PostgresConfig } from "./url.ts";

const MEBIBYTE = 1024 * 1024;

interface SlotMeasure {
  readonly isOurs: boolean;
  readonly isLost: boolean;
  readonly retained: string | null;
  readonly lag: string | null;
  readonly limitMebibytes: string | null;
}

export class PostgresLogWatch implements LogWatch {
  readonly #names: LogNames;
  readonly #kept: KeptConnection<PostgresConnection>;

  constructor(config: PostgresConfig, names: LogNames) {
    this.#names = names;
    this.#kept = new KeptConnection(() => PostgresConnection.connect(config));
  }

  async measure(): Promise<LogMeasure> {
    const { slot } = this.#names;
    const [row] = await this.#kept.ask((connection) =>
      connection.query<SlotMeasure>(
        // the columns of later versions by their names: 13 knows wal_status, and no version before the limit
        `SELECT plugin = 'pgoutput' AND database = current_database() AS "isOurs",
        coalesce(to_jsonb(s) ->> 'wal_status' = 'lost', false) AS "isLost",
        pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::text AS retained,
        pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::text AS lag,
        (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS "limitMebibytes"
      FROM pg_replication_slots s WHERE slot_name = $1`,
        [slot],
      ),
    );
    if (row === undefined)
      throw this.#gone(
        `the replication slot ${slot} does not exist any more: somebody has removed it`,
      );
    if (!row.isOurs)
      throw this.#gone(
        `the replication slot ${slot} is not ours any more: somebody has made another one of its name`,
      );
    if (row.isLost)
      throw this.#gone(
        `the server has removed what ${slot} was to keep: it was more than max_slot_wal_keep_size`,
      );
    const limit = Number(row.limitMebibytes ?? -1);
    return {
      retainedBytes: row.retained === null ? null : Number(row.retained),
      lagBytes: row.lag === null ? null : Math.max(0, Number(row.lag)),
      limitBytes: limit < 0 ? null : limit * MEBIBYTE,
    };
  }

  async drop(): Promise<void> {
    await this.#kept.ask((connection) =>
      dropSlot(connection, this.#names.slot),
    );
  }

  close(): Promise<void> {
    return this.#kept.close();
  }

  #gone(message: string): ExtractError {
    return new ExtractError("SOURCE_POSITION_EXPIRED", message, {
      slot: this.#names.slot,
    });
  }
}
