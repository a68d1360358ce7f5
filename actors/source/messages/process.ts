/**
 * The source process of a foreign connector: gives its machine its effects. The connector, its messages and the channel
 * are all served by this thread: there is one sequence of messages, and one channel that it goes over.
 */
import { createReadStream, fstatSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { createActor, type Actor } from "xstate";
import { stateJson } from "../../../checkpoint/state.ts";
import {
  configureStream,
  sortFields,
} from "../../../connectors/airbyte/catalog.ts";
import {
  ForeignInput,
  type ForeignSockets,
} from "../../../connectors/channels/foreign-input.ts";
import { MessageRows } from "../../../connectors/channels/message-rows.ts";
import type { LogLevel } from "../../../connectors/channels/message-streams.ts";
import { ChannelRows } from "../../../connectors/channels/source-rows.ts";
import {
  DEFAULTS,
  readSettings,
  type AirbyteSettings,
} from "../../../connectors/sources/airbyte/config.ts";
import {
  checkForeign,
  discoverForeign,
  planForeign,
  type ForeignStream,
} from "../../../connectors/sources/airbyte/driver.ts";
import { RecordDecoder } from "../../../connectors/sources/airbyte/record-decoder.ts";
import { FILE_COLUMN } from "../../../connectors/airbyte/file-reference.ts";
import { StagedFiles } from "../../../connectors/sources/airbyte/staged-files.ts";
import { StagingFolder } from "./staging-folder.ts";
import type {
  MessageStreamOrder,
  SourceFact,
  SourceOrder,
  SourceSettings,
} from "../../../proto/control.ts";
import { ExtractError, toWireError } from "../../../proto/error.ts";
import {
  listenChannel,
  type ChannelListener,
} from "../../../transport/channel-listener.ts";
import type { ReplyFrame, SourceChannel } from "../../../transport/channel.ts";
import { describeTraceError, given, type ControlPipe } from "../../child.ts";
import { fromEffect, giveEffects } from "../../effects.ts";
import { inspectChild } from "../../inspect.ts";
import { createLog } from "../../log.ts";
import { createStateMessages } from "../../state-message.ts";
import { statsEmitterMachine } from "../../stats-emitter.machine.ts";
import type { Hosted, Surroundings } from "../../surroundings.ts";
import { SourceCheckpoints } from "../checkpoints.ts";
import { findMapper } from "../mapping.ts";
import { SourceStats } from "../stats.ts";
import { messageSourceMachine } from "./message-source.machine.ts";
import { nameTable } from "../../../proto/table-name.ts";

const CHANNEL = 1;
const STDIN_FD = 0;
/** Tries at a partition are counted per epoch, and a connector has one. */
const ATTEMPT = 1;
/** What a connector says that is told to the bookkeeper: it may talk for ever. */
const TOLD_MAX = 1_000;
const TOLD_CHARS_MAX = 2_000;

type ReadOrder = Extract<SourceOrder, { type: "source.messages" }>;

/** Waits for `source.open`, and ends by the surroundings' `exit`. */
export function startMessageSource(
  surroundings: Surroundings<SourceOrder, SourceFact>,
): Hosted {
  return new MessageSource(surroundings);
}

class MessageSource implements Hosted {
  readonly #surroundings: Surroundings<SourceOrder, SourceFact>;
  readonly #log = createLog("source");
  readonly #describeState = createStateMessages("source");
  readonly #streams = new Map<number, ForeignStream>();
  readonly #stats = new SourceStats();
  readonly #channelRows = new ChannelRows(() =>
    given(this.#channel, "the channel"),
  );
  readonly #pipe: ControlPipe<SourceFact>;
  readonly #root: Actor<typeof messageSourceMachine>;
  #settings: SourceSettings | null = null;
  #foreign: AirbyteSettings | null = null;
  #checkpoints: SourceCheckpoints | null = null;
  #listener: ChannelListener | null = null;
  #channel: SourceChannel | null = null;
  #opening: Promise<void> | null = null;
  #rows: MessageRows | null = null;
  #input: ForeignInput | null = null;
  #staging: StagingFolder | null = null;
  #takeProgress: () => void = () => {};
  readonly #left = new Set<number>();
  #told = 0;
  #hasEnded = false;
  #isDestroyed = false;

  constructor(surroundings: Surroundings<SourceOrder, SourceFact>) {
    this.#surroundings = surroundings;
    this.#root = createActor(this.#provide());
    this.#pipe = surroundings.open((order) => this.#follow(order));
    this.#root.subscribe({
      next: (state) => {
        if (state.status !== "done") return;
        const code = state.matches("finished") ? 0 : 1;
        void Promise.allSettled([this.#pipe.flush(), this.#end()]).finally(() =>
          surroundings.exit(code),
        );
      },
      error: (error) => {
        this.#report({ type: "process.failed", error: toWireError(error) });
        void Promise.allSettled([this.#pipe.flush(), this.#end()]).finally(() =>
          surroundings.exit(1),
        );
      },
    });
    this.#root.start();
  }

  async destroy(): Promise<void> {
    this.#isDestroyed = true;
    this.#root.stop();
    await this.#end();
  }

  async #end(): Promise<void> {
    await this.#input?.kill();
    this.#channel?.fail(
      new ExtractError("CHANNEL_BROKEN", "the source has ended", {
        channel: CHANNEL,
      }),
    );
    await this.#listener?.close();
    this.#staging?.remove();
  }

  #follow(order: SourceOrder): void {
    if (order.type === "ping") return;
    if (order.type === "source.open") {
      this.#settings = order.settings;
      const { attempt, inspect } = order.settings;
      this.#log.bind({ run: attempt.runId, epoch: attempt.epoch });
      this.#checkpoints = new SourceCheckpoints(attempt.epoch);
      if (inspect) inspectChild("source", this.#root, this.#pipe);
    }
    this.#root.send(order);
  }

  #report(fact: SourceFact): void {
    if (fact.type === "process.failed") {
      this.#surroundings.writeProtocol(describeTraceError(fact.error));
      this.#log.write("info", fact.error.message, { code: fact.error.code });
    }
    this.#pipe.send(fact);
  }

  #tell(
    kind: "log" | "status" | "estimate",
    level: LogLevel,
    stream: number | null,
    message: string,
  ): void {
    this.#log.write(
      level === "error" ? "warn" : level,
      `connector: ${message}`,
      {
        ...(stream === null ? {} : { stream }),
      },
    );
    if (level === "debug" || (kind === "log" && level === "info")) return;
    if (this.#told >= TOLD_MAX) return;
    this.#told += 1;
    this.#report({
      type: "connector.told",
      kind,
      level,
      stream,
      message: message.slice(0, TOLD_CHARS_MAX),
    });
  }

  #streamOf(number: number): ForeignStream {
    return given(this.#streams.get(number) ?? null, `stream ${number}`);
  }

  get #lanes(): number {
    const { input, architecture, sockets } = given(this.#foreign, "settings");
    if (input?.kind === "nothing") return input.lanes;
    if (input) return input.kind === "sockets" ? input.paths.length : 1;
    return architecture === "socket" ? (sockets ?? DEFAULTS.sockets) : 1;
  }

  #describeSockets(socketDir: string): ForeignSockets | null {
    const { input, architecture, format, ipc } = given(
      this.#foreign,
      "settings",
    );
    const generation = readGeneration(ipc);
    if (input)
      return input.kind === "sockets"
        ? { paths: input.paths, format: input.format, generation }
        : null;
    if (architecture !== "socket") return null;
    return {
      paths: Array.from({ length: this.#lanes }, (_, index) =>
        join(socketDir, `airbyte_socket_${index + 1}.sock`),
      ),
      format: format === "jsonl" ? "JSONL" : "PROTOBUF",
      generation,
    };
  }

  async #openChannel(): Promise<void> {
    const { attempt, socketDir, times } = given(this.#settings, "settings");
    const path = join(socketDir, `socket_${CHANNEL}.sock`);
    this.#listener = await listenChannel(path, {
      run: attempt.runId,
      epoch: attempt.epoch,
      channel: CHANNEL,
      streams: () => [],
      ...times,
    });
    this.#root.send({ type: "channel.listening", path });
    const accepted = await this.#listener.accepted;
    this.#channel = accepted;
    accepted.start({
      onFrame: (frame) => this.#onFrame(frame),
      onClosed: (error) => this.#onClosed(error),
    });
    this.#root.send({ type: "channel.connected" });
  }

  #onFrame(frame: ReplyFrame): void {
    if (frame.kind !== "ack") return;
    const { ack } = frame;
    for (const state of given(this.#checkpoints, "the checkpoints").acknowledge(
      ack,
    )) {
      const { schema } = this.#streamOf(state.stream);
      this.#surroundings.writeProtocol(
        this.#describeState(schema, JSON.parse(stateJson(state))),
      );
    }
    this.#root.send({ type: "checkpoint.acked", ...ack });
  }

  #onClosed(error: ExtractError | null): void {
    this.#channel = null;
    if (this.#hasEnded && !error) {
      this.#root.send({ type: "channel.closed" });
      return;
    }
    this.#break(
      error ??
        new ExtractError(
          "CHANNEL_BROKEN",
          `channel ${CHANNEL} closed before its end`,
          { channel: CHANNEL },
        ),
    );
  }

  #break(error: unknown): void {
    if (this.#isDestroyed) return;
    this.#root.send({ type: "channel.broken", error: toWireError(error) });
  }

  async #endChannel(): Promise<void> {
    await this.#input?.kill();
    // a stop may come before the destination has: it joins what it was told of, and waits for the end there
    await this.#opening;
    const channel = this.#channel;
    if (channel === null) return;
    this.#hasEnded = true;
    await channel.writeEnd(this.#channelRows.totals);
  }

  async #discover(
    order: Extract<SourceOrder, { type: "source.discover" }>,
  ): Promise<Extract<SourceFact, { type: "source.discovered" }>> {
    const { include, exclude, columns, heldColumns = [], numbers } = order;
    const found = await discoverForeign(
      given(this.#foreign, "settings"),
      { include, exclude, columns, heldColumns },
      (line) => this.#tell("log", "debug", null, line),
    );
    const warnings = [...found.warnings];
    const mappers = given(this.#settings, "settings").mappers;
    for (const stream of found.streams as readonly ForeignStream[]) {
      const { namespace, name } = stream.schema;
      const known = numbers?.find(
        (one) => one.namespace === namespace && one.name === name,
      );
      if (numbers !== null && known === undefined) continue;
      const number = known?.number ?? stream.schema.number;
      this.#streams.set(number, {
        ...stream,
        schema: { ...stream.schema, number },
      });
    }
    const streams = await Promise.all(
      [...this.#streams.values()].map(async (stream) => {
        const mapper = await findMapper(stream.schema, mappers);
        if (mapper === null) return stream;
        const name = nameTable(stream.schema);
        for (const warning of mapper.warnings)
          warnings.push(`${name}: ${warning}`);
        return { ...stream, schema: mapper.schema };
      }),
    );
    return {
      type: "source.discovered",
      streams: streams.map((stream) => ({
        ...stream,
        foreign: {
          // where others read, they have decided on it already
          isIncremental:
            this.#foreign?.input !== undefined ||
            (stream.catalog.supported_sync_modes?.includes("incremental") ??
              false),
        },
      })),
      warnings,
      problems: [],
    };
  }

  async #read(
    order: ReadOrder,
    lanes: readonly { readonly stream: number; readonly partition: number }[],
  ): Promise<void> {
    const settings = given(this.#settings, "settings");
    const foreign = given(this.#foreign, "settings");
    const sockets = this.#describeSockets(settings.socketDir);
    const joined = [...new Set(lanes.map(({ stream }) => stream))];
    const orders = new Map(order.streams.map((one) => [one.stream, one]));
    const orderOf = (stream: number): MessageStreamOrder =>
      given(orders.get(stream) ?? null, `the order of stream ${stream}`);
    const hasFiles = (number: number): boolean =>
      this.#streamOf(number).added.includes(FILE_COLUMN);
    if (joined.some(hasFiles))
      this.#staging = new StagingFolder(foreign, settings.attempt.runId);
    const staging = this.#staging?.path ?? null;
    const stagedFiles = staging === null ? null : new StagedFiles(staging);
    const progress: (() => void)[] = [];
    const streams = await Promise.all(
      joined.map(async (number) => {
        const { schema, catalog, added } = this.#streamOf(number);
        const mapper = await findMapper(schema, settings.mappers);
        const { generation, syncMode } = orderOf(number);
        return {
          number,
          namespace: schema.namespace,
          name: schema.name,
          isIncremental: syncMode === "incremental",
          lanes: Array.from({ length: this.#lanes }, (_, partition) => {
            const ref = { stream: number, partition, attempt: ATTEMPT };
            const rows = this.#channelRows.begin({
              ...ref,
              schema,
              mapper,
              onCheckpoint: (place) => this.#allot(place),
              onNulled: () => {},
            });
            progress.push(() => {
              const read = rows.takeProgress();
              if (read) this.#stats.countRead(number, read.rows, read.bytes);
            });
            return {
              rows,
              decoder: new RecordDecoder(schema, {
                fields: sortFields(
                  Object.keys(catalog.json_schema["properties"] ?? {}),
                ),
                policy: settings.policy,
                meta: added,
                stagedFiles,
                syncId: order.syncId,
                generation,
                rowBytesMax: settings.rowBytesMax,
                valueNulled: (column) =>
                  this.#stats.countNulled(number, column),
                fieldIgnored: (field) =>
                  this.#tell(
                    "log",
                    "warn",
                    number,
                    `records of ${schema.name} have a field ${field} that its schema does not have: it is not copied`,
                  ),
              }),
            };
          }),
        };
      }),
    );
    this.#takeProgress = () => {
      for (const take of progress) take();
    };
    const rows = new MessageRows({
      streams,
      epoch: settings.attempt.epoch,
      checkpointEveryMs: settings.checkpointEveryMs,
      hasPartitions: sockets !== null,
      keepsStates: order.keepsStates,
      failsAlone: foreign.input === undefined,
      events: {
        onGroup: (group) => this.#report({ type: "source.state", ...group }),
        onStreamFailed: (stream, error) =>
          this.#root.send({
            type: "stream.failed",
            stream,
            error: toWireError(error),
          }),
        onLog: (level, message) => this.#tell("log", level, null, message),
        onStatus: (stream, status) =>
          this.#tell("status", "info", stream, `status ${status}`),
        onEstimate: (stream, { rows: count, bytes }) =>
          this.#tell(
            "estimate",
            "info",
            stream,
            `expects ${count ?? "?"} records of ${bytes ?? "?"} bytes`,
          ),
      },
    });
    for (const stream of this.#left) rows.leave(stream);
    this.#rows = rows;
    const input = new ForeignInput({
      settings: foreign,
      sockets,
      files: {
        config: JSON.stringify(foreign.config ?? {}),
        catalog: JSON.stringify({
          streams: joined.map((number) =>
            this.#configure(number, orderOf(number), order.syncId),
          ),
        }),
        ...(order.states === null ? {} : { state: order.states }),
      },
      staging,
      rowBytesMax: settings.rowBytesMax,
      rows,
      stdin: openStdin,
      onLog: (level, message) => this.#tell("log", level, null, message),
      onStarted: (pid) => this.#report({ type: "connector.started", pid }),
    });
    this.#input = input;
    if (this.#isDestroyed) return;
    await input.run();
    this.#emitStats();
  }

  #configure(
    number: number,
    { syncMode, destinationSyncMode, cursorField, ...rest }: MessageStreamOrder,
    syncId: number,
  ) {
    const { catalog, added } = this.#streamOf(number);
    return configureStream(catalog, {
      syncMode,
      destinationSyncMode,
      cursorField,
      generation: rest.generation,
      generationMin: rest.generationMin,
      syncId,
      includesFiles: added.includes(FILE_COLUMN),
    });
  }

  /** Every index is given in one place. */
  #allot(place: {
    readonly stream: number;
    readonly partition: number;
    readonly attempt: number;
    readonly sequence: number;
    readonly position: import("../../../proto/partition.ts").Position | null;
    readonly rows: number;
    readonly bytes: number;
    readonly last: boolean;
  }): void {
    const { stream, partition, attempt, sequence, last } = place;
    const index = given(this.#checkpoints, "the checkpoints").allot(place);
    this.#root.send({
      type: "checkpoint.ready",
      stream,
      partition,
      attempt,
      sequence,
      last,
    });
    // not before whoever has asked waits for it
    queueMicrotask(() => this.#rows?.giveIndex(stream, partition, index));
  }

  #emitStats(): void {
    this.#takeProgress();
    const progress = this.#stats.takeProgress(
      (stream) => this.#checkpoints?.lastIndex(stream) ?? 0,
    );
    if (progress) this.#report(progress);
  }

  #provide(): typeof messageSourceMachine {
    return giveEffects(messageSourceMachine, {
      actors: {
        openSource: fromEffect(async ({ input }) => {
          this.#foreign = readSettings(input.url);
          if (input.isCheck)
            await checkForeign(this.#foreign, (line) =>
              this.#tell("log", "debug", null, line),
            );
        }),
        discover: fromEffect(({ input }) => this.#discover(input)),
        readMessages: fromEffect(({ input: { order, lanes } }) =>
          this.#read(order, lanes),
        ),
        statsEmitter: giveEffects(statsEmitterMachine, {
          actions: { emitStats: () => this.#emitStats() },
        }),
      },
      actions: {
        report: (_, fact) => this.#report(fact),
        planStream: (_, { stream }) =>
          this.#report({
            type: "stream.planned",
            stream,
            ...planForeign(this.#streamOf(stream), this.#lanes),
          }),
        openChannel: () => {
          this.#opening = this.#openChannel();
          this.#opening.catch((error: unknown) => this.#break(error));
        },
        endChannel: () =>
          void this.#endChannel().catch((error: unknown) => this.#break(error)),
        seedStream: (_, { stream, seed }) =>
          given(this.#checkpoints, "the checkpoints").begin(stream, seed),
        leaveStream: (_, { stream }) => {
          this.#left.add(stream);
          this.#rows?.leave(stream);
        },
        stopReading: () => void this.#input?.stop(),
        countPartition: (_, { stream }) => this.#stats.countPartition(stream),
        reportStreamRead: (_, { stream }) => {
          this.#emitStats();
          this.#report({
            type: "stream.read",
            stream,
            index: given(this.#checkpoints, "the checkpoints").lastIndex(
              stream,
            ),
            valuesNulled: this.#stats.valuesNulled(stream),
          });
        },
        emitStats: () => this.#emitStats(),
      },
    });
  }
}

/** A pipe is let go of at once, whatever it waits for; of a thread it is that of the whole process. */
function openStdin(): Readable {
  const stat = fstatSync(STDIN_FD);
  return stat.isFIFO() || stat.isSocket()
    ? new Socket({ fd: STDIN_FD, readable: true, writable: false })
    : createReadStream("", { fd: STDIN_FD, autoClose: false });
}

/** Of the values in protobuf records, as the connector's metadata says. */
function readGeneration(ipc: unknown): 1 | 2 {
  const channel =
    typeof ipc === "object" && ipc !== null && "dataChannel" in ipc
      ? ipc.dataChannel
      : null;
  const version =
    typeof channel === "object" && channel !== null && "version" in channel
      ? channel.version
      : null;
  return version === "0.0.1" ? 1 : 2;
}
