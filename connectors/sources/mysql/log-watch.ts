/**
 * How far a sync is behind the end of the binlog, and how soon the server would remove what it has not read: looked at
 * over a connection of its own while another one reads the log. The server keeps nothing for us; what it has goes by age
 * or by size, whoever has read it. A file that somebody reads it does not remove.
 */
import { commitOf, readFileCommit } from "../../../proto/log-position.ts";
import type { LogAge, LogMeasure } from "../../../proto/log-budget.ts";
import { KeptConnection } from "../kept-connection.ts";
import type { LogNames, LogWatch, WatchedPlace } from "../source.ts";
import { readBinlogBirth } from "./binlog-file.ts";
import { MysqlConnection } from "./connection.ts";
import { numberOfFile } from "./log-place.ts";
import { expired, findAnother, findRemoved, findSetBack } from "./log-reach.ts";
import {
  checkLogSettings,
  listBinlogs,
  readLogEnd,
  readRetention,
  readVariables,
  type LogServer,
} from "./log-settings.ts";
import { chooseReaderId } from "./reader-id.ts";
import type { MysqlConfig } from "./url.ts";

const RETENTION = [
  ...["binlog_expire_logs_seconds", "binlog_expire_logs_auto_purge"],
  ...["expire_logs_days", "max_binlog_total_size", "binlog_space_limit"],
]
  .map((name) => `'${name}'`)
  .join(", ");

/** A file of the binlog, by the number that its name ends in. */
interface NumberedFile {
  readonly name: string;
  readonly number: number;
  readonly bytes: number;
}

/** What is known of the server that a connection leads to. */
interface Server {
  readonly connection: MysqlConnection;
  readonly log: LogServer;
  /** Logs that were begun anew, and other things that are reset. */
  readonly resets: string;
}

export class MysqlLogWatch implements LogWatch {
  readonly #config: MysqlConfig;
  /** Another than the engine's, whose session the server would end for it. */
  readonly #readerId: number;
  readonly #kept: KeptConnection<MysqlConnection>;
  #server: Server | null = null;
  /** When the file behind the one that is needed was begun. */
  #closed: { readonly file: string; readonly atSeconds: number } | null = null;

  constructor(config: MysqlConfig, { slot }: LogNames) {
    this.#config = config;
    this.#readerId = chooseReaderId(`${slot}/watch`);
    this.#kept = new KeptConnection(() => MysqlConnection.connect(config));
  }

  measure(place: WatchedPlace): Promise<LogMeasure> {
    return this.#kept.ask((connection) => this.#look(connection, place));
  }

  /** Nothing at the server is ours. */
  async drop(): Promise<void> {}

  close(): Promise<void> {
    return this.#kept.close();
  }

  async #look(
    connection: MysqlConnection,
    place: WatchedPlace,
  ): Promise<LogMeasure> {
    const { log } = await this.#identify(connection, place);
    const end = await readLogEnd(connection);
    const setBack = findSetBack(end, place.position);
    if (setBack) throw expired(setBack);
    const needed = readFileCommit(commitOf(place.position));
    const last = {
      name: end.File,
      number: numberOfFile(end.File) ?? 0,
      bytes: Number(end.Position),
    };
    const isLast = needed.file === last.number;
    // the last one is never removed, and a list of thousands costs the server a look at each
    const files = isLast ? [last] : await listNumbered(connection);
    if (!isLast && place.told !== null) {
      const fault = await findRemoved(connection, log, place.told);
      // who reads on does not need what is behind him
      if (fault && (fault.kind === "another" || place.isSilent))
        throw expired(fault);
    }
    const behind = files
      .filter(({ number }) => number >= needed.file)
      .reduce((sum, { bytes }) => sum + bytes, 0);
    const isThere = files.some(({ number }) => number === needed.file);
    const lagBytes = Math.max(0, behind - (isThere ? needed.offset : 0));
    const { seconds, bytes } = readRetention(
      await readVariables(
        connection,
        "VARIABLES",
        `Variable_name IN (${RETENTION})`,
      ),
    );
    return {
      // what is before it the server keeps for itself
      ...{ retainedBytes: lagBytes, lagBytes, limitBytes: bytes },
      ...(seconds === null
        ? {}
        : {
            age: await this.#readAge(connection, files, needed.file, seconds),
          }),
    };
  }

  /** @throws ExtractError SOURCE_POSITION_EXPIRED where it is another log */
  async #identify(
    connection: MysqlConnection,
    { identity }: WatchedPlace,
  ): Promise<Server> {
    const status = await readVariables(
      connection,
      "STATUS",
      "Variable_name = 'Com_reset'",
    );
    const resets = status.get("com_reset") ?? "";
    const known = this.#server;
    if (known?.connection === connection && known.resets === resets)
      return known;
    const log = await checkLogSettings(connection);
    const fault = await findAnother(
      ...[connection, this.#config, log, this.#readerId, identity],
    );
    if (fault) throw expired(fault);
    this.#closed = null;
    this.#server = { connection, log, resets };
    return this.#server;
  }

  /** For how long nothing has been written any more to the file that is needed. */
  async #readAge(
    connection: MysqlConnection,
    files: readonly NumberedFile[],
    needed: number,
    limitSeconds: number,
  ): Promise<LogAge> {
    const next = files.find(({ number }) => number > needed);
    if (!next) return { seconds: 0, limitSeconds };
    if (this.#closed?.file !== next.name)
      this.#closed = {
        file: next.name,
        atSeconds: await readBinlogBirth(
          ...[this.#config, next.name, this.#readerId],
        ),
      };
    const [clock] = await connection.query<{ now: number | string }>(
      "SELECT UNIX_TIMESTAMP() AS now",
    );
    const seconds = Number(clock?.now ?? 0) - this.#closed.atSeconds;
    return { seconds: Math.max(0, seconds), limitSeconds };
  }
}

async function listNumbered(
  connection: MysqlConnection,
): Promise<readonly NumberedFile[]> {
  const files = await listBinlogs(connection);
  return files.map(({ name, bytes }) => ({
    ...{ name, bytes },
    number: numberOfFile(name) ?? 0,
  }));
}
