/**
 * A connector of somebody else: started once its catalog is known, fed by the channels, heard here. A checkpoint is
 * durable when its state has come back, and a run is well only when the connector has ended well.
 */
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { POSITION_COLUMN } from "../../../proto/change-columns.ts";
import type { AttemptRef } from "../../../proto/control.ts";
import { ExtractError, toWireError } from "../../../proto/error.ts";
import { askConnector } from "../../airbyte/ask-connector.ts";
import { configureStream, describeStream } from "../../airbyte/catalog.ts";
import { findFileColumn } from "../../airbyte/file-reference.ts";
import { fromTraceError } from "../../airbyte/errors.ts";
import {
  readMessage,
  type AirbyteMessage,
  type AirbyteState,
} from "../../airbyte/messages.ts";
import { MessageLines } from "../../airbyte/lines.ts";
import { readToken } from "../../airbyte/state-token.ts";
import type { RecoverTarget } from "../destination.ts";
import type { AirbyteDestinationConfig, ForeignConnector } from "./config.ts";
import {
  describeExit,
  describeSockets,
  startConnector,
  type ConnectorExit,
  type ConnectorProcess,
} from "../../airbyte/connector-process.ts";
import { ForeignStates } from "./foreign-states.ts";
import type { LaneFact, LaneOrder } from "./lane.ts";
import { STDIN_SOCKET } from "./writers.ts";

const FIRST_CHANNEL = 1;
/** A run that stops does not wait longer for states, and for the connector's end. */
const STOP_MS_MAX = 60_000;
/** A connector that checks for so long is told to end. */
const CHECK_MS_MAX = 110_000;

export interface ForeignOptions {
  readonly config: AirbyteDestinationConfig;
  readonly connector: ForeignConnector;
  readonly attempt: AttemptRef;
  post(order: LaneOrder): void;
  write(channel: number, messages: readonly string[]): Promise<void>;
  onFault(error: ExtractError): void;
  /** What it says for people. */
  onLog(level: string, message: string): void;
  onStarted(pid: number): void;
}

interface ForeignStream {
  readonly namespace: string;
  readonly name: string;
  /** Those whose last rows have left. */
  readonly ended: Set<number>;
  /** Those that have rows; null: more may come. */
  wanted: readonly number[] | null;
}

export class ForeignDestination {
  readonly #options: ForeignOptions;
  readonly #states: ForeignStates;
  /** Whose rows have not all left. */
  readonly #open = new Map<number, ForeignStream>();
  readonly #exit = Promise.withResolvers<void>();
  #process: ConnectorProcess | null = null;
  #statesDeadline: NodeJS.Timeout | null = null;
  #told: ExtractError | null = null;
  #error: ExtractError | null = null;
  #isEnding = false;
  #isStopping = false;
  #isClosed = false;

  constructor(options: ForeignOptions) {
    this.#options = options;
    this.#states = new ForeignStates(options.config.channel.medium === "stdio");
    this.#exit.promise.catch(() => {
      // told where it is waited for
    });
  }

  /** Asks the connector whether it can write. @throws ExtractError CONNECTOR_CONFIG_ERROR with its words */
  async check(): Promise<void> {
    const { connector } = this.#options;
    const { connectionStatus } = await askConnector({
      program: connector.program,
      role: "destination",
      verb: "check",
      files: { config: JSON.stringify(connector.settings) },
      deadlineMs: CHECK_MS_MAX,
      onLog: (line) => this.#options.onLog("info", line),
    });
    if (connectionStatus.status === "SUCCEEDED") return;
    throw new ExtractError(
      "CONNECTOR_CONFIG_ERROR",
      `${connector.label} cannot write: ${connectionStatus.message ?? "it does not say why"}`,
    );
  }

  /** @throws ExtractError CONNECTOR_NOT_STARTED */
  async start(all: readonly RecoverTarget[]): Promise<void> {
    // a stream that is not written again must not be in the catalog: it would be emptied
    const targets = all.filter(({ isOver = false }) => !isOver);
    if (targets.length === 0) {
      this.#options.post({ type: "gone" });
      return this.#exit.resolve();
    }
    const { config, connector } = this.#options;
    const { folder, channel } = config;
    for (const { schema } of targets)
      this.#open.set(schema.number, {
        ...{ namespace: schema.namespace, name: schema.name },
        ended: new Set(),
        wanted: null,
      });
    const isStdio = channel.medium === "stdio";
    const process = await startConnector({
      program: connector.program,
      role: "destination",
      verb: "write",
      files: {
        config: JSON.stringify(connector.settings),
        catalog: JSON.stringify(describeCatalog(targets, connector)),
      },
      ...(isStdio
        ? {}
        : describeSockets(channel.format.toUpperCase(), channel.paths)),
      stdin: isStdio ? await connectTo(join(folder, STDIN_SOCKET)) : "ignore",
      onStderr: (line) => this.#options.onLog("info", line),
    });
    this.#process = process;
    this.#options.onStarted(process.pid);
    const lines = new MessageLines(LINE_BYTES_MAX);
    process.stdout.on("data", (chunk: Buffer) => this.#read(lines, chunk));
    void process.exited.then((exit) => {
      this.#readLine(lines.rest());
      this.#noteExit(process, exit);
    });
  }

  noteWritten({
    stream,
    partition,
    index,
    last,
    rows,
  }: Extract<LaneFact, { type: "written" }>): void {
    this.#tellDurable(stream, () =>
      this.#states.noteSent(stream, { index, rows }),
    );
    const open = this.#open.get(stream);
    if (!open || !last) return;
    open.ended.add(partition);
    this.#lookAt(stream, open);
  }

  /** Nothing comes of the stream but the rest of these partitions. */
  noteExhausted(stream: number, partitions: readonly number[]): void {
    const open = this.#open.get(stream);
    if (!open) return;
    open.wanted = partitions;
    this.#lookAt(stream, open);
  }

  /** Before we have asked for it: the run stops, and what has not come back is read again. */
  noteOutputEnded(): void {
    if (this.#isEnding || this.#isStopping) return;
    this.#isStopping = true;
    this.#options.post({ type: "endIdle" });
    const { config, connector, onLog } = this.#options;
    const waitMs = Math.min(config.stateMs, STOP_MS_MAX);
    this.#statesDeadline = setTimeout(() => {
      onLog(
        "warn",
        `${connector.label} did not end within ${waitMs} ms of the stop: what it has not given back is read again`,
      );
      void this.#process?.end();
    }, waitMs);
  }

  noteAbandoned(stream: number): void {
    const open = this.#open.get(stream);
    if (open) this.#tellStatus(stream, open, "INCOMPLETE");
  }

  /** Resolves once the connector has ended well, with every state back. @throws ExtractError CONNECTOR_* */
  ended(): Promise<void> {
    return this.#exit.promise;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#statesDeadline) clearTimeout(this.#statesDeadline);
    await this.#process?.end();
  }

  #lookAt(stream: number, open: ForeignStream): void {
    if (open.wanted?.every((partition) => open.ended.has(partition)))
      this.#tellStatus(stream, open, "COMPLETE");
  }

  #tellStatus(
    stream: number,
    { namespace, name }: ForeignStream,
    status: "COMPLETE" | "INCOMPLETE",
  ): void {
    this.#open.delete(stream);
    const message = JSON.stringify({
      type: "TRACE",
      trace: {
        type: "STREAM_STATUS",
        emitted_at: Date.now(),
        stream_status: {
          stream_descriptor: {
            name,
            ...(namespace === "" ? {} : { namespace }),
          },
          status,
        },
      },
    });
    const isLast = this.#open.size === 0;
    this.#options.write(FIRST_CHANNEL, [message]).then(
      () => {
        if (isLast) this.#end();
      },
      (error: unknown) => this.#failWith(error),
    );
  }

  #end(): void {
    this.#isEnding = true;
    this.#options.post({ type: "end" });
    this.#startDeadline();
  }

  #startDeadline(): void {
    const { stateMs } = this.#options.config;
    this.#statesDeadline = setTimeout(() => {
      const missing = this.#states.missing;
      this.#fail(
        missing
          ? this.#describeMissing(missing, `within ${stateMs} ms of the end`)
          : new ExtractError(
              "CONNECTOR_SILENT",
              `${this.#options.connector.label} has all records and did not end within ${stateMs} ms`,
              { stateMs },
            ),
      );
    }, stateMs);
  }

  #describeMissing(
    { stream, index }: { readonly stream: number; readonly index: number },
    when: string,
  ): ExtractError {
    return new ExtractError(
      "CONNECTOR_STATE_MISSING",
      `${this.#options.connector.label} did not give state ${index} of stream ${stream} back ${when}`,
      { stream, index },
    );
  }

  #read(lines: MessageLines, chunk: Buffer): void {
    if (this.#error) return;
    try {
      for (const line of lines.cut(chunk)) this.#readLine(line);
    } catch (error) {
      this.#failWith(error);
    }
  }

  #readLine(line: Buffer): void {
    if (line.length === 0 || this.#error) return;
    try {
      const message = readMessage(line.toString());
      if (message.type === "NONE") this.#options.onLog("info", message.text);
      else if (message.type !== "UNKNOWN") this.#hear(message);
    } catch (error) {
      this.#failWith(error);
    }
  }

  #hear(message: AirbyteMessage): void {
    if (message.type === "STATE") this.#noteState(message.state);
    else if (message.type === "TRACE" && message.trace.error)
      this.#told ??= fromTraceError(message.trace.error, "destination");
    else if (message.type === "LOG")
      this.#options.onLog(message.log.level.toLowerCase(), message.log.message);
  }

  #noteState(state: AirbyteState): void {
    const token = readToken(state);
    const { runId, epoch } = this.#options.attempt;
    if (token?.run !== runId || token.epoch !== epoch)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `${this.#options.connector.label} gave a state back that it was not given`,
        { state: JSON.stringify(state).slice(0, SHOWN_CHARS) },
      );
    this.#tellDurable(token.stream, () => this.#states.noteBack(token, state));
  }

  #tellDurable(stream: number, settle: () => readonly number[]): void {
    try {
      for (const index of settle())
        this.#options.post({ type: "durable", stream, index });
    } catch (error) {
      this.#failWith(error);
    }
  }

  #noteExit(process: ConnectorProcess, exit: ConnectorExit): void {
    if (this.#statesDeadline) clearTimeout(this.#statesDeadline);
    this.#options.post({ type: "gone" });
    if (this.#isClosed || this.#isStopping) return;
    const { label, program } = this.#options.connector;
    const { missing, stray } = this.#states;
    if (exit.code !== 0 || !this.#isEnding)
      this.#fail(
        this.#told ??
          describeExit(process, exit, { role: "destination", program }),
      );
    else if (missing)
      this.#fail(this.#describeMissing(missing, "before it ended"));
    else if (stray)
      this.#fail(
        new ExtractError(
          "CONNECTOR_MESSAGE_INVALID",
          `${label} gave state ${stray.index} of stream ${stray.stream} back, which it was not given`,
          stray,
        ),
      );
    else this.#exit.resolve();
  }

  #failWith(error: unknown): void {
    this.#fail(
      error instanceof ExtractError
        ? error
        : new ExtractError("CONNECTOR_FAILED", String(error), {}),
    );
  }

  #fail(error: ExtractError): void {
    if (this.#error || this.#isClosed) return;
    this.#error = error;
    this.#exit.reject(error);
    this.#options.post({ type: "fault", error: toWireError(error) });
    this.#options.onFault(error);
  }
}

/** A state is far smaller; a log message may hold a stack. */
const LINE_BYTES_MAX = 16 * 1024 * 1024;
/** Characters of a message that an error shows. */
const SHOWN_CHARS = 200;

function describeCatalog(
  targets: readonly RecoverTarget[],
  { cursor, syncId }: ForeignConnector,
): object {
  return {
    streams: targets.map(({ schema, generation, mode = "" }) => {
      const syncMode = mode.startsWith("full") ? "full_refresh" : "incremental";
      return configureStream(
        describeStream(schema, {
          supportsIncremental: true,
          hasOwnCursor: mode === "cdc",
          isResumable: true,
        }),
        {
          syncMode,
          includesFiles: findFileColumn(schema) !== null,
          destinationSyncMode:
            mode === "full-refresh-overwrite"
              ? "overwrite"
              : mode === "incremental-append-dedupe"
                ? "append_dedup"
                : "append",
          cursorField:
            mode === "cdc"
              ? [POSITION_COLUMN]
              : cursor === null
                ? []
                : [cursor],
          generation,
          generationMin: mode === "full-refresh-overwrite" ? generation : 0,
          syncId,
        },
      );
    }),
  };
}

function connectTo(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.removeListener("error", reject);
      resolve(socket);
    });
  });
}
