/**
 * Where the messages of a foreign source come from: the stdout of a connector that is started here, this process's
 * stdin, or sockets that a peer listens on. Whoever falls silent, never listens, ends too early or says what is no
 * message ends the read by a name, within a deadline.
 */
import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import type { OnReadOpts, Socket } from "node:net";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import {
  describeExit,
  startConnector,
  type ConnectorFiles,
  type ConnectorProcess,
  type ConnectorStart,
  describeSockets,
} from "../airbyte/connector-process.ts";
import { readColumnsEnvelope } from "../airbyte/columnar.ts";
import { DelimitedMessages, MessageLines } from "../airbyte/lines.ts";
import { invalidMessage } from "../airbyte/messages.ts";
import { tryConnect } from "../airbyte/try-connect.ts";
import { ExtractError } from "../../proto/error.ts";
import type { StreamSchema } from "../../proto/schema.ts";
import { decodeBatch } from "../../transport/batch-codec.ts";
import { ColumnarReader } from "./columnar-reader.ts";
import { DEFAULTS, type AirbyteSettings } from "../sources/airbyte/config.ts";
import { JsonRecord, readLine } from "../sources/airbyte/json-records.ts";
import {
  ProtobufRecord,
  type ValueGeneration,
} from "../sources/airbyte/protobuf-records.ts";
import type { MessageRows } from "./message-rows.ts";
import type { LogLevel } from "./message-streams.ts";

/** Between two tries to connect to a socket that is not listened on yet. */
const CONNECT_AGAIN_MS = 50;
/** Between two looks for a file that is waited for. */
const LOOK_AGAIN_MS = 10;
/** A connector that has closed its stdout ends within this. */
const EXIT_MS_MAX = 60_000;
/** How exactly silence is measured. */
const WATCH_MS = 250;
/** What a message is more than its row: names, and JSON's escapes. */
const MESSAGE_BYTES_EXTRA = 1024 * 1024;
/** Where a stop waits for a state. */
const STOP_MS_MAX = 10_000;

export type SocketFormat = "JSONL" | "PROTOBUF" | "COLUMNAR";

export interface ForeignSockets {
  readonly paths: readonly string[];
  readonly format: SocketFormat;
  readonly generation: ValueGeneration;
}

export interface ForeignInputOptions {
  readonly settings: AirbyteSettings;
  /** Null: records come by stdout, or by stdin. */
  readonly sockets: ForeignSockets | null;
  readonly files: ConnectorFiles;
  /** Where the connector stages files that go with its records; null: it is asked for none. */
  readonly staging?: string | null;
  readonly rowBytesMax: number;
  readonly rows: MessageRows;
  /** Of this process, where the input is that. */
  readonly stdin: () => Readable;
  onLog(level: LogLevel, message: string): void;
  onStarted(pid: number): void;
}

/** Silence, apart from the time in which we are the ones that are waited for. */
class Watch {
  #touchedAt = performance.now();
  #busy = 0;
  #hasBegun = false;

  touch(): void {
    this.#touchedAt = performance.now();
    this.#hasBegun = true;
  }

  async during(work: Promise<void>): Promise<void> {
    this.#busy += 1;
    try {
      await work;
    } finally {
      this.#busy -= 1;
      this.#touchedAt = performance.now();
    }
  }

  get silentMs(): number {
    return this.#busy > 0 ? 0 : performance.now() - this.#touchedAt;
  }

  get hasBegun(): boolean {
    return this.#hasBegun;
  }
}

export class ForeignInput {
  readonly #options: ForeignInputOptions;
  readonly #watch = new Watch();
  readonly #broken = Promise.withResolvers<never>();
  #connector: ConnectorProcess | null = null;
  #open: Socket[] = [];
  #timer: NodeJS.Timeout | null = null;
  #isStopping = false;
  #isKilled = false;

  constructor(options: ForeignInputOptions) {
    this.#options = options;
    // nobody may be waiting for it
    this.#broken.promise.catch(() => {});
  }

  /**
   * Until the source has come to its end, or is stopped. It is gone when this settles.
   * @returns whether all of it was read
   * @throws ExtractError
   */
  async run(): Promise<"ended" | "stopped"> {
    try {
      await Promise.race([this.#read(), this.#broken.promise]);
    } catch (error) {
      if (!this.#isStopping) throw error;
    } finally {
      if (this.#timer) clearInterval(this.#timer);
      await this.kill();
    }
    if (this.#isStopping) return "stopped";
    await this.#options.rows.finish();
    return "ended";
  }

  /** Leaves at the next state, or without one when it does not come soon. */
  async stop(): Promise<void> {
    if (this.#isStopping) return;
    await Promise.race([
      this.#options.rows.hurry(),
      sleep(STOP_MS_MAX, undefined, { ref: false }),
    ]);
    this.#isStopping = true;
    this.#broken.reject(new Error("stopped"));
  }

  /** Ends it as it is. */
  async kill(): Promise<void> {
    this.#isKilled = true;
    for (const socket of this.#open) socket.destroy();
    await this.#connector?.end();
  }

  async #read(): Promise<void> {
    const { settings } = this.#options;
    this.#timer = setInterval(() => this.#look(), WATCH_MS);
    const { input } = settings;
    if (input === undefined) return this.#readConnector();
    if (input.kind === "nothing") return;
    if (input.after !== undefined) await this.#awaitFile(input.after);
    if (input.kind === "sockets") return this.#readSockets(null);
    return this.#readLines(this.#options.stdin(), "stdin", false);
  }

  async #awaitFile(path: string): Promise<void> {
    while (!existsSync(path))
      await Promise.race([sleep(LOOK_AGAIN_MS), this.#broken.promise]);
  }

  #look(): void {
    const { settings } = this.#options;
    const seconds = this.#watch.hasBegun
      ? (settings.silenceDeadline ?? DEFAULTS.silenceDeadline)
      : (settings.startDeadline ?? DEFAULTS.startDeadline);
    if (this.#watch.silentMs < seconds * 1_000) return;
    this.#broken.reject(
      this.#watch.hasBegun
        ? new ExtractError(
            "CONNECTOR_SILENT",
            `the source has sent nothing for ${seconds} s`,
            { seconds },
          )
        : new ExtractError(
            "CONNECTOR_START_TIMEOUT",
            `the source has sent nothing within ${seconds} s of its start`,
            { seconds },
          ),
    );
  }

  async #readConnector(): Promise<void> {
    const { settings, sockets, files, rows, staging = null } = this.#options;
    const connector = await startConnector({
      program: settings,
      role: "source",
      verb: "read",
      files,
      stdin: "ignore",
      ...(sockets === null
        ? describeStaging(staging)
        : describeSockets(sockets.format, sockets.paths)),
      onStderr: (line) => this.#options.onLog("debug", line),
    });
    this.#connector = connector;
    this.#options.onStarted(connector.pid);
    if (this.#isKilled) return connector.end();
    const reading = this.#readLines(
      connector.stdout,
      "stdout",
      sockets !== null,
    );
    if (sockets === null) await reading;
    else
      await Promise.all([
        reading,
        this.#readSockets(
          connector.exited.then((exit) => {
            throw (
              rows.traceError ??
              describeExit(connector, exit, {
                role: "source",
                program: settings,
              })
            );
          }),
        ),
      ]);
    const exit = await Promise.race([
      connector.exited,
      sleep(EXIT_MS_MAX, null, { ref: false }),
    ]);
    if (exit === null)
      throw new ExtractError(
        "CONNECTOR_SILENT",
        `the source has closed its output and did not end within ${EXIT_MS_MAX / 1_000} s`,
      );
    if (exit.code === 0 || rows.isAccounted) return;
    throw (
      rows.traceError ??
      describeExit(connector, exit, { role: "source", program: settings })
    );
  }

  /** @param isControl records come another way */
  async #readLines(
    stream: Readable,
    name: string,
    isControl: boolean,
  ): Promise<void> {
    const lines = new MessageLines(
      this.#options.rowBytesMax + MESSAGE_BYTES_EXTRA,
    );
    const record = new JsonRecord();
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      this.#watch.touch();
      for (const line of lines.cut(chunk)) {
        const taken = this.#takeLine(record, line, 0, isControl);
        if (taken) await this.#watch.during(taken);
      }
    }
    const rest = lines.rest();
    if (rest.length === 0) return;
    // the last line may go without its line feed, unless it was cut off
    try {
      await this.#takeLine(record, rest, 0, isControl);
    } catch (cause) {
      if (
        cause instanceof ExtractError &&
        cause.code !== "CONNECTOR_MESSAGE_INVALID"
      )
        throw cause;
      throw invalidMessage(
        `${name} ends inside of a line, behind ${rest.length} bytes of it`,
        rest.toString("utf8", 0, 200),
        cause,
      );
    }
  }

  #takeLine(
    record: JsonRecord,
    line: Buffer,
    lane: number,
    isControl: boolean,
  ): Promise<void> | void {
    const { rows } = this.#options;
    // a probe
    if (line.length === 0) return;
    if (record.read(line)) {
      if (isControl)
        throw invalidMessage(
          "a record on stdout, where sockets were agreed on",
          line.toString("utf8", 0, 200),
        );
      return rows.takeRecord(record, lane);
    }
    const text = readLine(line);
    if (text === null)
      this.#options.onLog("warn", "a line that is not UTF-8 is passed over");
    else return rows.takeMessage(text);
  }

  /** @param ended rejects when the peer is gone before all sockets are connected */
  async #readSockets(ended: Promise<never> | null): Promise<void> {
    const { sockets } = this.#options;
    assert(sockets, "there are sockets");
    ended?.catch(() => {});
    const { paths, format, generation } = sockets;
    const connected = await Promise.all(
      paths.map((path) =>
        format === "COLUMNAR"
          ? this.#connectColumns(path, ended)
          : this.#connect(path, ended),
      ),
    );
    this.#watch.touch();
    await Promise.all(
      connected.map((one, lane) =>
        one instanceof ColumnarReader
          ? this.#readColumns(one, lane)
          : format === "JSONL"
            ? this.#readSocketLines(one, lane)
            : this.#readEnvelopes(one, lane, generation),
      ),
    );
  }

  /** The file may not be there yet, or be there and nobody listen: both are waited for, up to the deadline of `#look`. */
  async #connect(
    path: string,
    ended: Promise<never> | null,
    onread?: OnReadOpts,
  ): Promise<Socket> {
    for (;;) {
      const socket = await tryConnect(path, onread);
      if (socket !== null) {
        this.#open.push(socket);
        return socket;
      }
      await Promise.race([
        sleep(CONNECT_AGAIN_MS),
        this.#broken.promise,
        ...(ended === null ? [] : [ended]),
      ]);
    }
  }

  async #connectColumns(
    path: string,
    ended: Promise<never> | null,
  ): Promise<ColumnarReader> {
    const reader = new ColumnarReader(() => this.#watch.touch());
    reader.attach(await this.#connect(path, ended, reader.onread));
    return reader;
  }

  async #readSocketLines(socket: Socket, lane: number): Promise<void> {
    const lines = new MessageLines(
      this.#options.rowBytesMax + MESSAGE_BYTES_EXTRA,
    );
    const record = new JsonRecord();
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      this.#watch.touch();
      for (const line of lines.cut(chunk)) {
        const taken = this.#takeLine(record, line, lane, false);
        if (taken) await this.#watch.during(taken);
      }
    }
    lines.end();
  }

  async #readEnvelopes(
    socket: Socket,
    lane: number,
    generation: ValueGeneration,
  ): Promise<void> {
    const { rows, rowBytesMax, onLog } = this.#options;
    const messages = new DelimitedMessages(rowBytesMax + MESSAGE_BYTES_EXTRA);
    const record = new ProtobufRecord(generation);
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      this.#watch.touch();
      for (const envelope of messages.cut(chunk)) {
        const kind = record.read(envelope);
        if (kind === "record") {
          const taken = rows.takeRecord(record, lane);
          if (taken) await this.#watch.during(taken);
        } else if (kind === "message")
          await this.#watch.during(rows.takeMessage(record.message));
        else if (kind === "unknown")
          onLog("warn", "an envelope of an unknown kind is passed over");
      }
    }
    messages.end();
  }

  /** From another connector of ours. */
  async #readColumns(reader: ColumnarReader, lane: number): Promise<void> {
    const { rows, rowBytesMax, onLog } = this.#options;
    const record = new ProtobufRecord(GENERATION);
    const schemas = new Map<number, StreamSchema>();
    for (;;) {
      const envelope = await reader.readEnvelope();
      if (envelope === null) return;
      const columns = readColumnsEnvelope(envelope);
      if (columns === null) {
        const kind = record.read(envelope);
        if (kind === "message")
          await this.#watch.during(rows.takeMessage(record.message));
        else if (kind !== "probe")
          onLog("warn", `an envelope of the kind ${kind} is passed over`);
        continue;
      }
      const { frame, partitionId } = columns;
      if (frame.kind === "schema") {
        schemas.set(frame.schema.number, frame.schema);
        continue;
      }
      const body = await reader.readBody(
        frame.batch.bodyBytes,
        rowBytesMax + BATCH_BYTES_EXTRA,
      );
      const schema = schemas.get(frame.batch.stream);
      if (schema === undefined)
        throw new ExtractError(
          "CHANNEL_CORRUPT",
          `a batch of the stream ${frame.batch.stream} comes before its columns`,
        );
      // it goes on to the destination as it came
      const batch = decodeBatch(frame.batch, body, schema.columns, "next");
      await this.#watch.during(
        rows.takeBatch(schema, batch, partitionId, lane),
      );
    }
  }
}

/** Beside one row of the largest size: the rest of a batch. */
const BATCH_BYTES_EXTRA = 8 * 1024 * 1024;
/** States and probes are as in any protobuf stream. */
const GENERATION: ValueGeneration = 2;

/** What tells a connector where files go that it hands over; a container sees the folder under the same path. */
function describeStaging(
  folder: string | null,
): Pick<ConnectorStart, "env" | "mounts"> {
  if (folder === null) return {};
  return {
    env: { USE_FILE_TRANSFER: "true", AIRBYTE_STAGING_DIRECTORY: folder },
    mounts: [folder],
  };
}
