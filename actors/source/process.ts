/**
 * A source, wherever it lives: gives the machines of this folder their effects. Rows never come here; they stay in the
 * channels' workers.
 */
import { createActor, type Actor } from "xstate";
import { stateJson } from "../../checkpoint/state.ts";
import {
  describeChanges,
  withoutChangeColumns,
} from "../../proto/change-columns.ts";
import { joinPredicates } from "../../connectors/sources/narrow.ts";
import { loadSource } from "../../connectors/sources/index.ts";
import { findSourceKind } from "../../connectors/sources/url.ts";
import type {
  DiscoveredStream,
  SourceDriver,
  SourceSession,
} from "../../connectors/sources/source.ts";
import type {
  SourceFact,
  SourceOrder,
  SourceSettings,
} from "../../proto/control.ts";
import { toWireError, type WireError } from "../../proto/error.ts";
import type { LogMeasure } from "../../proto/log-budget.ts";
import { describeTraceError, given, type ControlPipe } from "../child.ts";
import { fromEffect, giveEffects } from "../effects.ts";
import { inspectChild, type Inspector } from "../inspect.ts";
import { createLog } from "../log.ts";
import { createStateMessages } from "../state-message.ts";
import { statsEmitterMachine } from "../stats-emitter.machine.ts";
import type { Hosted, Surroundings } from "../surroundings.ts";
import { sourceChannelMachine } from "./channel.machine.ts";
import { countChannels } from "./channels-needed.ts";
import { SourceCheckpoints } from "./checkpoints.ts";
import { ReaderGovernor } from "./governing.ts";
import { addLog, planLogOnly } from "./log-plan.ts";
import { LogEye } from "./log-eye.ts";
import { logGuardMachine } from "./log-guard.machine.ts";
import { logReaderMachine } from "./log-reader.machine.ts";
import { findMapper } from "./mapping.ts";
import { findSubject } from "./order-subject.ts";
import { ReadFigures } from "./read-figures.ts";
import { partitionerMachine } from "./partitioner.machine.ts";
import { readerMachine } from "./reader.machine.ts";
import { resplitterMachine } from "./resplitter.machine.ts";
import type { Discovered, DiscoverOrder } from "./source-process-context.ts";
import { sourceProcessMachine } from "./source-process.machine.ts";
import { SourceStats } from "./stats.ts";
import { SourceThreads, type StartSourceThread } from "./threads.ts";
import type { SourceWorkerMessage } from "./worker-messages.ts";
import { nameTable } from "../../proto/table-name.ts";

type SourceEvent = Parameters<Actor<typeof sourceProcessMachine>["send"]>[0];

export type SourceSurroundings = Surroundings<SourceOrder, SourceFact>;

/** Waits for `source.open`, and ends by the surroundings' `exit`. What kind of source it is the first order says. */
export function startSource(
  surroundings: SourceSurroundings,
  startThread: StartSourceThread,
): Hosted {
  let follow: ((order: SourceOrder) => void) | null = null;
  let hosted: Promise<Hosted> | null = null;
  const early: SourceOrder[] = [];
  const pipe = surroundings.open((order) => {
    if (follow !== null) {
      follow(order);
      return;
    }
    early.push(order);
    if (hosted !== null) return;
    const inside: SourceSurroundings = {
      ...surroundings,
      open: (onOrder) => {
        follow = onOrder;
        return pipe;
      },
    };
    const begin = (made: Hosted): Hosted => {
      for (const one of early) follow?.(one);
      return made;
    };
    if (isForeign(order))
      hosted = import("./messages/process.ts").then((loaded) =>
        begin(loaded.startMessageSource(inside)),
      );
    else
      hosted = Promise.resolve(begin(new SourceProcess(inside, startThread)));
  });
  return { destroy: async () => (await hosted)?.destroy() };
}

function isForeign(order: SourceOrder): boolean {
  return (
    order.type === "source.open" &&
    findSourceKind(order.settings.url) === "airbyte"
  );
}

class SourceProcess implements Hosted {
  readonly #surroundings: SourceSurroundings;
  readonly #log = createLog("source");
  readonly #describeState = createStateMessages("source");
  readonly #streams = new Map<number, DiscoveredStream>();
  readonly #threads: SourceThreads;
  readonly #stats = new SourceStats();
  readonly #readFigures = new ReadFigures();
  readonly #pipe: ControlPipe<SourceFact>;
  readonly #root: Actor<typeof sourceProcessMachine>;
  #settings: SourceSettings | null = null;
  #driver: SourceDriver | null = null;
  /** Discovers and plans; the workers have their own. */
  #session: SourceSession | null = null;
  /** Null: no log is followed. */
  #eye: LogEye | null = null;
  /** Streams whose tables have changed since an earlier attempt of the run. */
  readonly #outdated = new Set<number>();
  #checkpoints: SourceCheckpoints | null = null;
  #governor: ReaderGovernor | null = null;
  #inspector: Inspector | null = null;
  #isDestroyed = false;

  constructor(
    surroundings: SourceSurroundings,
    startThread: StartSourceThread,
  ) {
    this.#surroundings = surroundings;
    this.#threads = new SourceThreads(
      startThread,
      () => given(this.#settings, "settings"),
      {
        onMessage: (channel, message) => this.#hear(channel, message),
        onBroken: (channel, error) => this.#fail(error, channel),
      },
    );
    this.#root = createActor(this.#provide());
    this.#pipe = surroundings.open((order) => this.#follow(order));
    this.#root.subscribe({
      next: (state) => {
        if (state.status !== "done") return;
        const code = state.matches("finished") ? 0 : 1;
        void Promise.all([
          this.#pipe.flush(),
          this.#session?.close(),
          this.#eye?.close(),
          this.#threads.end(),
        ])
          .catch(() => {
            // a connection that cannot be closed any more ends with us
          })
          .finally(() => surroundings.exit(code));
      },
      // an action threw: a fault of ours or of the destination's counts, in either case the end of this attempt
      error: (error) => {
        this.#report({ type: "process.failed", error: toWireError(error) });
        void this.#pipe.flush().finally(() => surroundings.exit(1));
      },
    });
    this.#root.start();
  }

  async destroy(): Promise<void> {
    this.#isDestroyed = true;
    this.#root.stop();
    this.#session?.destroy();
    await Promise.all([this.#eye?.close(), this.#threads.end()]);
  }

  #follow(order: SourceOrder): void {
    if (order.type === "source.open") this.#begin(order.settings);
    if (order.type === "source.log") this.#watchLog(order);
    if (order.type === "log.committed") this.#eye?.noteCommitted(order.group);
    if (order.type === "source.order") {
      const subject = findSubject(this.#root, order.to);
      const { id, order: wanted } = order;
      this.#root.send({ type: "actor.order", id, subject, order: wanted });
      return;
    }
    const narrowed = this.#narrowOrder(order);
    if (narrowed) this.#root.send(narrowed as SourceEvent);
  }

  #begin(wanted: SourceSettings): void {
    this.#settings = wanted;
    this.#log.bind({ run: wanted.attempt.runId, epoch: wanted.attempt.epoch });
    this.#checkpoints = new SourceCheckpoints(wanted.attempt.epoch);
    if (wanted.readers === null)
      this.#governor = new ReaderGovernor(wanted.channelsMax);
    if (wanted.inspect)
      this.#inspector = inspectChild("source", this.#root, this.#pipe);
  }

  async #connect(url: string): Promise<SourceSession> {
    this.#driver = await loadSource(url);
    const session = await this.#driver.connect(url);
    if (this.#isDestroyed) session.destroy();
    this.#session = session;
    return session;
  }

  #hear(
    channel: number,
    message: Exclude<SourceWorkerMessage, { type: "snapshot.joined" }>,
  ): void {
    switch (message.type) {
      case "channel.paused":
      case "channel.resumed":
        this.#stats.notePaused(channel, message.type === "channel.paused");
        break;
      case "read.statement": {
        const { stream, partition, sql } = message;
        this.#inspector?.tell({
          type: "statement",
          stream,
          partition,
          channel,
          sql,
        });
        return;
      }
      case "read.measured":
        this.#stats.countPhases(message.stream, message.phases);
        return;
      case "read.progress":
        if (this.#inspector) this.#readFigures.countRead(channel, message);
        break;
      case "log.checkpoint":
        this.#eye?.noteTold(message);
        break;
      default:
        break;
    }
    this.#root.send({ type: "worker.fact", channel, fact: message });
  }

  #streamOf(number: number): DiscoveredStream {
    return given(this.#streams.get(number) ?? null, `stream ${number}`);
  }

  #report(fact: SourceFact): void {
    if (fact.type === "process.failed")
      this.#surroundings.writeProtocol(describeTraceError(fact.error));
    this.#logFact(fact);
    this.#pipe.send(fact);
  }

  #logFact(fact: SourceFact): void {
    switch (fact.type) {
      case "channel.connected":
        this.#log.write("debug", "channel opened", { channel: fact.channel });
        return;
      case "partition.retried": {
        const { stream, partition, attempt, error } = fact;
        const fields = { stream, partition, attempt, code: error.code };
        this.#log.write("info", `read again: ${error.message}`, fields);
        return;
      }
      case "stream.failed": {
        const { stream, error } = fact;
        this.#log.write("info", error.message, { stream, code: error.code });
        return;
      }
      case "log.stepped": {
        const { step, measure } = fact;
        const { age, ...bytes } = measure;
        this.#log.write("info", `the source's log: ${step}`, {
          ...bytes,
          ...(age ? { ageSeconds: age.seconds } : {}),
        });
        return;
      }
      case "process.failed":
        this.#log.write("info", fact.error.message, { code: fact.error.code });
        return;
      default:
        return;
    }
  }

  /** The rows that the run is narrowed to join the user's predicate, before anybody plans or reads. Null: answered. */
  #narrowOrder(order: SourceOrder): SourceOrder | null {
    const ranges = this.#settings?.ranges ?? [];
    if (ranges.length === 0) return order;
    if (order.type !== "source.plan" && order.type !== "source.read")
      return order;
    try {
      const { stream } = order;
      const rows = given(this.#driver, "the driver").narrow(
        this.#streamOf(stream),
        ranges,
      );
      return { ...order, where: joinPredicates(order.where, rows) };
    } catch (error) {
      this.#report({
        type: "stream.failed",
        stream: order.stream,
        error: toWireError(error),
      });
      return null;
    }
  }

  #fail(error: WireError, channel: number): void {
    this.#root.send({
      type: "worker.fact",
      channel,
      fact: { type: "channel.broken", error },
    });
  }

  /** All is planned and read: what follows comes from the log. */
  #leaveSnapshot(): void {
    const session = this.#session;
    this.#session = null;
    session?.close().catch(() => session.destroy());
    this.#threads.leaveSnapshot();
  }

  /** Whoever has not joined the snapshot by now never reads. */
  #limitChannels(channelsMax: number): void {
    const wanted = given(this.#settings, "settings");
    this.#settings = { ...wanted, channelsMax };
    if (wanted.readers === null)
      this.#governor = new ReaderGovernor(channelsMax);
  }

  /** What an earlier attempt has begun to follow keeps its columns to the end of the run. */
  #keepShape(
    stream: DiscoveredStream,
    numbers: NonNullable<DiscoverOrder["numbers"]>,
  ): DiscoveredStream {
    const log = this.#settings?.log;
    const { number } = stream.schema;
    const known = numbers.find((one) => one.number === number)?.schema;
    if (!log || !known) return stream;
    const now = describeChanges(stream.schema, log.transactionId);
    if (now.fingerprint === known.fingerprint) return stream;
    this.#outdated.add(number);
    return { ...stream, schema: withoutChangeColumns(known) };
  }

  /** The stream as it travels; here and in the workers it is known as it is read. */
  async #mapStream(
    stream: DiscoveredStream,
    warnings: string[],
  ): Promise<DiscoveredStream> {
    if (this.#settings?.log)
      return {
        ...stream,
        schema: describeChanges(
          stream.schema,
          this.#settings.log.transactionId,
        ),
        ...(this.#outdated.has(stream.schema.number)
          ? { isOutdated: true }
          : {}),
      };
    const mapper = await findMapper(
      stream.schema,
      this.#settings?.mappers ?? null,
    );
    if (mapper === null) return stream;
    const name = nameTable(stream.schema);
    for (const warning of mapper.warnings) warnings.push(`${name}: ${warning}`);
    return { ...stream, schema: mapper.schema };
  }

  #tellFigures(): void {
    const reading = new Set(
      Object.values(this.#root.getSnapshot().context.channels),
    );
    const figures = this.#readFigures.take((key) => !reading.has(key));
    if (figures) this.#inspector?.tell(figures);
  }

  #takeProgress() {
    return this.#stats.takeProgress(
      (stream) => this.#checkpoints?.lastIndex(stream) ?? 0,
    );
  }

  #watchLog(order: Extract<SourceOrder, { type: "source.log" }>): void {
    const { url, log } = given(this.#settings, "settings");
    const watch = log && given(this.#driver, "the driver").watchLog?.(url, log);
    if (log && watch) this.#eye ??= new LogEye(watch, order, log);
  }

  #emitStats(): void {
    const progress = this.#takeProgress();
    if (progress) this.#report(progress);
    this.#tellFigures();
    const busy = Object.values(
      this.#root.getSnapshot().context.channels,
    ).filter((key) => key !== null).length;
    const target = this.#governor?.sample({
      bytesTotal: this.#stats.bytesTotal,
      active: busy,
      paused: this.#stats.channelsPaused,
      serverStrain: false,
    });
    if (target !== null && target !== undefined)
      this.#root.send({ type: "governor.target", readers: target });
  }

  #provide(): typeof sourceProcessMachine {
    return giveEffects(sourceProcessMachine, {
      actors: {
        openSource: fromEffect(async ({ input }) => {
          const { serverVersion } = await this.#connect(input.url);
          return { serverVersion };
        }),
        discover: fromEffect(async ({ input }): Promise<Discovered> => {
          const planner = given(this.#session, "the session");
          await planner.beginSnapshot(input.snapshot);
          const { include, exclude, columns, heldColumns = [] } = input;
          const wanted = given(this.#settings, "settings");
          const mustJoin =
            this.#driver?.joins === "at-the-start" && input.snapshot !== null;
          const joining = mustJoin
            ? this.#threads.joinInTime(wanted.channelsMax)
            : null;
          const found = await planner
            .discover(
              {
                ...{ include, exclude, columns, heldColumns },
                isLogged: wanted.log !== undefined,
              },
              wanted.policy,
            )
            .finally(() => joining?.stopClock());
          const numbered = input.numbers
            ? renumber(found.streams, input.numbers)
            : found.streams;
          const chosen = numbered.map((stream) =>
            this.#keepShape(stream, input.numbers ?? []),
          );
          if (joining)
            this.#limitChannels(
              await joining.join(countChannels(chosen, wanted)),
            );
          for (const stream of chosen) {
            this.#streams.set(stream.schema.number, stream);
            this.#threads.makeKnown(stream);
          }
          const warnings = [...found.warnings];
          const fact = {
            type: "source.discovered" as const,
            streams: await Promise.all(
              [...this.#streams.values()].map((stream) =>
                this.#mapStream(stream, warnings),
              ),
            ),
            warnings,
            problems: found.problems.map(
              ({ namespace, name, relationKind, code, message }) => ({
                namespace,
                name,
                relationKind,
                error: {
                  code,
                  message,
                  details: { table: `${namespace}.${name}` },
                },
              }),
            ),
          };
          return {
            fact,
            channelsMax: given(this.#settings, "settings").channelsMax,
          };
        }),
        reader: giveEffects(readerMachine, {
          actions: {
            orderWorker: (_, { channel, order }) =>
              this.#threads.order(channel, order),
          },
        }),
        logReader: giveEffects(logReaderMachine, {
          actions: {
            orderWorker: (_, { channel, order }) =>
              this.#threads.order(channel, order),
          },
        }),
        logGuard: giveEffects(logGuardMachine, {
          actors: {
            measureLog: fromEffect(async () => {
              const measured = await this.#eye?.measure();
              return { ...(measured ?? UNKNOWN), atMs: performance.now() };
            }),
            dropLog: fromEffect(async () => this.#eye?.drop()),
          },
        }),
        channel: giveEffects(sourceChannelMachine, {
          actions: {
            orderEnd: (_, { channel }) =>
              this.#threads.order(channel, { type: "channel.end" }),
          },
        }),
        partitioner: giveEffects(partitionerMachine, {
          actors: {
            planStream: fromEffect(async ({ input }) => {
              const { stream, where, cursor, log } = input;
              if (log && log.snapshot === null)
                return planLogOnly(this.#streamOf(stream), log);
              const {
                channelsMax,
                readers,
                checkpointEveryMs,
                partitionBy,
                partitionBytesMin,
              } = given(this.#settings, "settings");
              const planned = await given(
                this.#session,
                "the session",
              ).planStream(
                this.#streamOf(stream),
                { where, cursor },
                {
                  // a plan that nothing follows has no channels, and is told how many there would be
                  channels:
                    channelsMax === 0
                      ? (readers ?? 1)
                      : Math.min(readers ?? channelsMax, channelsMax),
                  checkpointTargetSeconds: checkpointEveryMs / 1000,
                  partitionBy,
                  partitionBytesMin,
                },
              );
              return log
                ? addLog(planned, this.#streamOf(stream), log)
                : planned;
            }),
          },
        }),
        resplitter: giveEffects(resplitterMachine, {
          actors: {
            findSplit: fromEffect(({ input }) =>
              given(this.#session, "the session").findSplit(
                this.#streamOf(input.range.stream),
                input,
              ),
            ),
          },
        }),
        statsEmitter: giveEffects(statsEmitterMachine, {
          actions: { emitStats: () => this.#emitStats() },
        }),
      },
      guards: {
        canSplit: (_, { range }) =>
          given(this.#driver, "the driver").canSplit(
            this.#streamOf(range.stream),
            range,
          ),
      },
      actions: {
        report: (_, fact) => this.#report(fact),
        startWorker: (_, { channel, isLog = false }) =>
          this.#threads.open(channel, isLog),
        useSnapshot: (_, { snapshot }) => this.#threads.useSnapshot(snapshot),
        leaveSnapshot: () => this.#leaveSnapshot(),
        seedStream: (_, { stream, seed, orders, partitions }) => {
          this.#log.write("debug", "stream begun", {
            stream,
            partitions: orders.length,
          });
          given(this.#checkpoints, "the checkpoints").begin(stream, seed);
          const log = partitions.find(({ split }) => split.kind === "log");
          if (log?.split.kind === "log" && log.split.snapshot)
            this.#threads.makeLogged(stream, log.split.snapshot);
        },
        allotIndex: (_, { channel, fact }) => {
          const {
            stream,
            partition,
            attempt,
            sequence,
            position,
            rows,
            bytes,
            last,
          } = fact;
          const checkpoint = {
            stream,
            partition,
            attempt,
            sequence,
            position,
            rows,
            bytes,
            last,
          };
          const index = given(this.#checkpoints, "the checkpoints").allot(
            checkpoint,
          );
          this.#threads.order(channel, {
            type: "checkpoint.index",
            stream,
            partition,
            attempt,
            sequence,
            index,
          });
        },
        settleCheckpoint: (_, ack) => {
          for (const state of given(
            this.#checkpoints,
            "the checkpoints",
          ).acknowledge(ack)) {
            const { schema } = this.#streamOf(state.stream);
            this.#surroundings.writeProtocol(
              this.#describeState(schema, JSON.parse(stateJson(state))),
            );
          }
        },
        countRead: (_, fact) => {
          if (fact.type === "read.progress")
            this.#stats.countRead(fact.stream, fact.rows, fact.bytes);
          else this.#stats.countNulled(fact.stream, fact.column);
        },
        countPartition: (_, { stream }) => this.#stats.countPartition(stream),
        reportStreamRead: (_, { stream }) => {
          this.#tellFigures();
          const progress = this.#takeProgress();
          if (progress) this.#report(progress);
          this.#report({
            type: "stream.read",
            stream,
            index: given(this.#checkpoints, "the checkpoints").lastIndex(
              stream,
            ),
            valuesNulled: this.#stats.valuesNulled(stream),
          });
        },
        orderWorker: (_, { channel, order }) =>
          this.#threads.order(channel, order),
      },
    });
  }
}

const UNKNOWN: LogMeasure = {
  retainedBytes: null,
  lagBytes: null,
  limitBytes: null,
};

/** A resumed run's streams keep their numbers, and what came to the database since is not of this run. */
function renumber(
  found: readonly DiscoveredStream[],
  numbers: readonly { namespace: string; name: string; number: number }[],
): DiscoveredStream[] {
  const known = new Map(
    numbers.map((one) => [
      JSON.stringify([one.namespace, one.name]),
      one.number,
    ]),
  );
  return found.flatMap((stream) => {
    const number = known.get(
      JSON.stringify([stream.schema.namespace, stream.schema.name]),
    );
    return number === undefined
      ? []
      : [{ ...stream, schema: { ...stream.schema, number } }];
  });
}
