/**
 * When a file of the binlog was begun. Names and numbers of transactions begin again when a binlog is reset; what is
 * under a known name then is another file, which this tells: no statement does.
 * @see MySQL internals, "Replication Protocol", COM_BINLOG_DUMP; "Binlog Event Header"
 */
import { ExtractError } from "../../../proto/error.ts";
import type { ReadWindow } from "../wire/window.ts";
import type { WireConsumer } from "../wire/wire.ts";
import { MysqlConnection } from "./connection.ts";
import { fromServerError } from "./errors.ts";
import { asReader } from "./log-settings.ts";
import type { MysqlConfig } from "./url.ts";
import {
  encodeBinlogDump,
  HEADER_BYTES,
  markers,
  MESSAGE_BYTES_MAX,
  readError,
  violation,
} from "./wire/packets.ts";

/** An event of the log: seconds, type, server, … */
const EVENT_HEADER_BYTES = 19;
const FORMAT_DESCRIPTION_EVENT = 15;
/** In front of it: where the file's name is told. */
const EVENTS_MAX = 4;
const ANSWER_MS_MAX = 15_000;

/**
 * Seconds since 1970, of the server's clock.
 * @param serverId under which we read; the server ends another session of this number
 * @throws ExtractError SOURCE_LOG_UNSUITABLE where this user may not read the log, SOURCE_CONNECTION_LOST
 */
export async function readBinlogBirth(
  config: MysqlConfig,
  file: string,
  serverId: number,
): Promise<number> {
  const connection = await MysqlConnection.connect(config);
  const timer = setTimeout(() => connection.destroy(), ANSWER_MS_MAX);
  try {
    // events come without sums then; whoever says nothing gets none
    await connection.query(
      "SET @master_binlog_checksum = 'NONE', @source_binlog_checksum = 'NONE'",
    );
    return await asReader(
      () =>
        new Promise<number>((resolve, reject) => {
          connection.beginRead();
          connection.wire.take(new FirstEvent({ resolve, reject }, connection));
          connection.wire.write(encodeBinlogDump(file, serverId));
        }),
    );
  } finally {
    clearTimeout(timer);
    connection.destroy();
  }
}

/** The packets of an answer up to the description of the file's format. */
class FirstEvent implements WireConsumer {
  readonly #settle: {
    resolve(seconds: number): void;
    reject(error: Error): void;
  };
  readonly #connection: MysqlConnection;
  #events = 0;

  constructor(
    settle: { resolve(seconds: number): void; reject(error: Error): void },
    connection: MysqlConnection,
  ) {
    this.#settle = settle;
    this.#connection = connection;
  }

  consume(window: ReadWindow): "more" | "finished" {
    for (;;) {
      if (window.end - window.start < HEADER_BYTES) return "more";
      const bytes = window.buffer.readUIntLE(window.start, 3);
      if (bytes > MESSAGE_BYTES_MAX)
        return this.#refuse(violation(`an event of ${bytes} bytes`));
      if (window.end - window.start < HEADER_BYTES + bytes) return "more";
      const start = window.start + HEADER_BYTES;
      const seconds = this.#read(window.buffer, start, start + bytes);
      if (seconds instanceof Error) return this.#refuse(seconds);
      window.consumed(start + bytes);
      if (seconds === null) continue;
      this.#settle.resolve(seconds);
      return "finished";
    }
  }

  lost(error: Error | null): void {
    const { details } = this.#connection;
    this.#settle.reject(
      new ExtractError(
        "SOURCE_CONNECTION_LOST",
        `the connection to ${details.server} was lost while its binlog was looked at`,
        details,
        { cause: error },
      ),
    );
  }

  #read(buffer: Buffer, start: number, end: number): number | Error | null {
    const marker = buffer[start];
    if (marker === markers.error)
      return fromServerError(
        readError(buffer, start, end),
        this.#connection.details,
      );
    this.#events += 1;
    if (
      marker !== markers.ok ||
      end - start <= EVENT_HEADER_BYTES ||
      this.#events > EVENTS_MAX
    )
      return violation("a binlog that does not begin like one");
    return buffer[start + 5] === FORMAT_DESCRIPTION_EVENT
      ? buffer.readUInt32LE(start + 1)
      : null;
  }

  #refuse(error: Error): "finished" {
    this.#settle.reject(error);
    return "finished";
  }
}
