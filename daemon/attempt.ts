/** One attempt: gives the run machine its processes, its ledger and its clock, and tells what it sees. */
import { createActor, type Actor } from "xstate";
import {
  runMachine,
  type Role,
  type RunEvent,
  type RunOutcome,
  type StreamFact,
} from "../actors/run/run.machine.ts";
import { streamRunMachine } from "../actors/run/stream-run.machine.ts";
import { fromEffect, giveEffects } from "../actors/effects.ts";
import type { Inspector } from "../actors/inspect.ts";
import type { StateMessage } from "../actors/state-message.ts";
import type { DurableReport } from "../proto/checkpoint.ts";
import type { Ledger } from "../checkpoint/store/ledger.ts";
import {
  endProcesses,
  processStartTime,
} from "../checkpoint/store/process-identity.ts";
import type {
  ActorOrder,
  DestinationFact,
  DestinationOrder,
  DestinationSettings,
  DiscoveredWire,
  KeeperFact,
  LogOpened,
  LogOpenOrder,
  SnapshotWire,
  SourceFact,
  SourceSettings,
  StateGroupWire,
} from "../proto/control.ts";
import {
  ExtractError,
  fromWireError,
  toWireError,
  type WireError,
} from "../proto/error.ts";
import { meansRelation } from "../proto/pattern.ts";
import { ActorOrders } from "./actor-orders.ts";
import { describeHop, type DecidedHop } from "./architectures.ts";
import type { ActorName, OrderOutcome } from "./request.ts";
import { recallPlan } from "./recalled-plan.ts";
import type { Figures } from "../proto/figures.ts";
import type { Partition, Plan } from "../proto/partition.ts";
import {
  describeDurable,
  describePlan,
  describeReleased,
  describeSplit,
} from "./figures.ts";
import type { KeeperHold } from "./keeper-hold.ts";
import type { RunMessages } from "./run-messages.ts";
import { LogApplies } from "./log-applies.ts";
import type { LogNews } from "./log-news.ts";
import { PingWatch } from "./ping-watch.ts";
import type { Placement } from "./placement.ts";
import type { Child } from "./processes.ts";
import type { ResumeCount, RunBook, SchemaChange } from "./run-book.ts";
import { StateAccounts } from "./states.ts";

const START_DEADLINE_MS = 60_000;
const CLOSE_DEADLINE_MS = 120_000;
/** A connector whose process has gone is ended by its guard within this; a container takes the longest. */
const CONNECTOR_GRACE_MS = 5_000;
/** What a run has made durable is listed with each of its steps: after so long it is committed, and the next one begins. */
const TURN_MS = 15 * 60_000;
/** Whose checkpoint a state over all streams is of. */
const ALL_STREAMS = { stream: 0, index: 0 } as const;

export interface AttemptInput {
  readonly ledger: Ledger;
  readonly book: RunBook;
  readonly keeper: KeeperHold;
  readonly placement: Placement;
  readonly source: SourceSettings;
  readonly destination: DestinationSettings;
  readonly selection: {
    readonly include: readonly string[];
    readonly exclude: readonly string[];
    readonly columns: readonly string[] | null;
  };
  /** The source's log is followed; null: rows are read and that is all. */
  readonly log: {
    readonly order: LogOpenOrder;
    /** The run goes on until it is stopped. */
    readonly isContinuous: boolean;
    readonly news: LogNews;
  } | null;
  /** Patterns of the streams that this run is narrowed to; null: all that are selected. */
  readonly streams: readonly string[] | null;
  /** A run whose plans are read by, where they can be. */
  readonly planOf: string | null;
  /** Of an executable of the Airbyte protocol. */
  readonly messages: RunMessages | null;
  /** Somebody else's connector reads the source. */
  readonly isForeign: boolean;
  /** Each state of it is wanted, also those that another one stands for. */
  readonly keepsStates: boolean;
  readonly probeDeadlineMs: number;
  /** Of this process; null: nobody looks on. */
  readonly inspector: Inspector | null;
  /** For whoever looks on. */
  readonly architecture: readonly DecidedHop[];
}

export interface AttemptEvents {
  onResumed(count: ResumeCount, isSnapshotKept: boolean): void;
  onPlanned(stream: number): void;
  onProgress(progress: Extract<SourceFact, { type: "progress" }>): void;
  onDurable(stream: number, rows: number, bytes: number): void;
  /** After the ledger has what the fact says is committed. */
  onMeasured(fact: Extract<DestinationFact, { type: "measured" }>): void;
  onRecorded(stream: number, index: number): void;
  onStreamEnded(stream: number): void;
  onStreamRead(fact: Extract<SourceFact, { type: "stream.read" }>): void;
  onWarning(message: string): void;
  onSchemaChanged(change: SchemaChange): void;
  /** States of a foreign source, once all that they cover is in the ledger. */
  onSourceStates(groups: readonly StateGroupWire[]): void;
  onConnectorTold(fact: Extract<SourceFact, { type: "connector.told" }>): void;
}

export interface AttemptResult {
  readonly outcome: RunOutcome;
  readonly error: WireError | null;
}

type AnyFact = SourceFact | DestinationFact | KeeperFact;

const streamFacts: ReadonlySet<string> = new Set<StreamFact["type"]>([
  "stream.planned",
  "stream.read",
  "stream.failed",
  "stream.verified",
  "stream.published",
  "stream.superseded",
]);

export class Attempt {
  readonly #input: AttemptInput;
  readonly #events: AttemptEvents;
  readonly #children = new Map<Role, Child>();
  /** What the processes have started, which may outlive them. */
  readonly #connectors: {
    readonly pid: number;
    readonly pidStartTime: string | null;
  }[] = [];
  readonly #states: StateAccounts;
  readonly #pings: PingWatch;
  readonly #actor: Actor<typeof runMachine>;
  readonly #orders: ActorOrders;
  #discovered: readonly DiscoveredWire[] = [];
  #isSnapshotKept = false;
  #log: LogOpened | null = null;
  /** Nothing but the log is read any more. */
  #isLogOnly = false;
  /** Ends a run that goes on without end, so that another one begins. */
  #turn: NodeJS.Timeout | null = null;
  /** Durable and not in a state yet, where somebody is told of states. */
  readonly #reports = new Map<string, DurableReport>();
  readonly #applies = new LogApplies((stream, upTo) =>
    this.#orderApply(stream, upTo),
  );

  constructor(input: AttemptInput, events: AttemptEvents) {
    this.#input = input;
    this.#events = events;
    const { runId, epoch } = input.source.attempt;
    this.#states = new StateAccounts(
      { ledger: input.ledger, runId, epoch },
      (stream, index) => {
        this.#child("source").send({
          type: "ledger.committed",
          stream,
          index,
        } as { type: string });
        this.#events.onRecorded(stream, index);
        this.#writeState(stream, index);
        this.#actor.send({ type: "state.recorded", stream, index });
        this.#tell(describeReleased(stream, index));
        // the last of its snapshot may come after the log has begun, and no change behind it
        if (this.#applies.isUnshown(stream)) this.#showKept();
      },
      (error) => this.#fault(error),
      ({ group, position, members, figures, quarantined = 0 }) => {
        input.log?.news.noteRecorded(position, figures);
        input.log?.news.noteQuarantined(quarantined);
        this.#child("source").send({ type: "log.committed", group } as {
          type: string;
        });
        for (const { stream } of members) this.#applies.note(stream);
        this.#showLog(position);
      },
      (groups) => this.#events.onSourceStates(groups),
    );
    this.#pings = new PingWatch(input.probeDeadlineMs, (role, deadlineMs) => {
      if (role === "keeper") input.keeper.kill();
      this.#actor.send({ type: "process.silent", role, deadlineMs });
    });
    this.#actor = createActor(this.#provide(), {
      input: {
        startDeadlineMs: START_DEADLINE_MS,
        closeDeadlineMs: CLOSE_DEADLINE_MS,
      },
    });
    this.#orders = new ActorOrders({
      root: this.#actor,
      sendToSource: (order) => this.#child("source").send(order),
      onFollowed: (message) => events.onWarning(message),
    });
    input.inspector?.watch(this.#actor);
    this.#tell({
      type: "run",
      state: "starting",
      sync: null,
      epoch,
      error: null,
      architecture: input.architecture.map(describeHop),
    });
  }

  /** Runs the attempt to its end. Both worker processes are gone when this resolves; the keeper is not touched. */
  async run(): Promise<AttemptResult> {
    const result = await new Promise<AttemptResult>((resolve) => {
      this.#actor.subscribe({
        next: (snapshot) => {
          if (snapshot.status !== "done") return;
          resolve({
            outcome: snapshot.value as RunOutcome,
            error: snapshot.context.error,
          });
        },
        error: (error) =>
          resolve({ outcome: "failed", error: toWireError(error) }),
      });
      this.#actor.start();
    });
    this.#pings.stop();
    if (this.#turn) clearTimeout(this.#turn);
    this.#orders.end();
    const isOver =
      result.outcome === "succeeded" || result.outcome === "partlyFailed";
    await this.#endChildren(isOver);
    try {
      this.#states.flush();
    } catch (error) {
      if (result.error === null)
        return { outcome: "failed", error: toWireError(error) };
    }
    return result;
  }

  stop(): void {
    // what was to go on until it is stopped ends here, and is committed
    if (this.#isLogOnly && this.#input.log?.isContinuous)
      this.#child("source").send({ type: "log.stop" });
    else this.#actor.send({ type: "run.stop" });
  }

  abort(): void {
    this.#actor.send({ type: "run.abort" });
  }

  orderActor(actor: ActorName, order: ActorOrder): Promise<OrderOutcome> {
    return this.#orders.give(actor, order);
  }

  #child(role: Exclude<Role, "keeper">): Child {
    const child = this.#children.get(role);
    if (!child) throw new Error(`the ${role} process is not started`);
    return child;
  }

  #fault(error: unknown): void {
    this.#actor.send({ type: "run.fault", error: toWireError(error) });
  }

  /** What goes wrong while we answer an event ends the attempt, not this process. */
  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      // not in the middle of the machine's own step
      setImmediate(() => this.#fault(error));
    }
  }

  /** Processes that have done their work leave by themselves; the others are told to. */
  async #endChildren(isOver: boolean): Promise<void> {
    await Promise.all(
      [...this.#children.values()].map((child) =>
        isOver ? child.leave() : child.end(),
      ),
    );
    // what was killed could not wait for the end of what it had started
    await endProcesses(
      this.#connectors.map((one) => ({ ...one, host: null })),
      CONNECTOR_GRACE_MS,
    );
  }

  #startProcesses(): void {
    const { ledger, source, destination, keeper, placement } = this.#input;
    const { runId, epoch } = source.attempt;
    for (const role of ["source", "destination"] as const) {
      const child = placement.spawn(role, {
        onFact: (fact) =>
          this.#guarded(() => this.#receive(role, fact as AnyFact)),
        onProtocolMessage: (message) =>
          this.#guarded(() => this.#readProtocol(role, message)),
        onExit: (description) => {
          this.#pings.remove(role);
          this.#actor.send({ type: "process.exited", role, description });
        },
      });
      this.#children.set(role, child);
      this.#pings.add(role, child);
    }
    this.#child("source").send({ type: "source.open", settings: source } as {
      type: string;
    });
    this.#child("destination").send({
      type: "destination.open",
      settings: destination,
    } as { type: string });
    keeper.open(
      source.url,
      this.#input.log?.order ?? null,
      (fact) => this.#guarded(() => this.#receive("keeper", fact)),
      (child) => this.#pings.add("keeper", child),
    );
    for (const { role, pid, startTime } of this.#children.values()) {
      // what lives in this process is as dead as the owner of the attempt
      if (pid !== null)
        ledger.recordProcess(runId, epoch, role, pid, startTime);
    }
  }

  #receive(role: Role, fact: AnyFact): void {
    switch (fact.type) {
      case "pong":
        this.#pings.answer(role);
        return;
      case "warning":
        this.#events.onWarning(fact.message);
        return;
      case "inspected":
        this.#input.inspector?.forward(fact.lines);
        return;
      case "process.failed":
        // a reader may find it out before the keeper does, and the next attempt needs another one
        if (fact.error.code === "SOURCE_SNAPSHOT_LOST")
          this.#input.keeper.forget();
        this.#actor.send({ type: "run.fault", error: fact.error });
        return;
      case "progress":
        this.#events.onProgress(fact);
        return;
      case "checkpoint.durable":
        this.#states.addDurable(fact.report);
        this.#noteDurable(fact.report);
        this.#tell(describeDurable(fact.report));
        {
          const { stream, rows, bytes } = fact.report;
          this.#events.onDurable(stream, rows, bytes);
        }
        return;
      case "measured":
        // behind the transaction of the durable checkpoint that came before
        setImmediate(() => this.#events.onMeasured(fact));
        return;
      case "source.ordered":
        this.#orders.answer(fact);
        return;
      case "partition.retried":
        this.#events.onWarning(
          `partition ${fact.stream}/${fact.partition} is read again after attempt ${fact.attempt}: ${fact.error.message}`,
        );
        return;
      case "partition.split": {
        const split = this.#input.book.recordSplit(fact);
        this.#tellSplit(split);
        this.#child("source").send({ type: "source.resplit", ...split });
        return;
      }
      case "channel.connected":
      case "channel.joined":
        return;
      case "log.checkpoint":
        this.#states.addGroup(fact);
        this.#write(
          (messages) => messages.log?.grouped(this.#input.book, fact) ?? [],
          ALL_STREAMS,
        );
        return;
      case "source.state":
        this.#states.addSourceState(fact);
        return;
      case "connector.told":
        this.#events.onConnectorTold(fact);
        return;
      case "connector.started": {
        const { runId, epoch } = this.#input.source.attempt;
        const startTime = processStartTime(fact.pid);
        // it has gone already; its number may soon be somebody else's
        if (startTime === null && processStartTime(process.pid) !== null)
          return;
        this.#input.ledger.recordProcess(
          runId,
          epoch,
          role,
          fact.pid,
          startTime,
        );
        this.#connectors.push({ pid: fact.pid, pidStartTime: startTime });
        return;
      }
      case "log.ending": {
        const { cutBy } = fact;
        const position = this.#input.book.endLog(fact.position, cutBy);
        if (cutBy !== null)
          this.#input.log?.news.noteEvent(
            "log.cut",
            `${cutBy} has got a column that this run does not know: the run ends before it, and the next one goes on with it at once`,
            { table: cutBy, position },
          );
        this.#child("source").send({ type: "log.end", position } as {
          type: string;
        });
        return;
      }
      case "log.measured":
        this.#input.log?.news.noteMeasured(fact.measure, fact.step);
        return;
      case "log.stepped":
        this.#stepLog(fact);
        return;
      case "snapshot.read":
        this.#isLogOnly = true;
        for (const { ref, state } of this.#input.book.streams)
          if (state === "open") this.#applies.note(ref.number);
        this.#showKept();
        if (this.#input.log?.isContinuous)
          this.#turn = setTimeout(() => this.stop(), TURN_MS);
        // while the log is followed nothing at the source is held that its users would wait for
        this.#pings.remove("keeper");
        this.#input.keeper.letGo("release");
        return;
      case "stream.applied":
        this.#applies.noteApplied(fact.stream);
        return;
      case "source.discovered": {
        const { streams, problems } = this.#narrow({
          streams: this.#choose(fact.streams),
          problems: this.#choose(fact.problems),
        });
        this.#discovered = streams;
        for (const warning of fact.warnings) this.#events.onWarning(warning);
        for (const { namespace, name, error } of problems) {
          this.#input.book.noteProblem({ namespace, name }, error);
        }
        this.#actor.send({ ...fact, streams, problems });
        return;
      }
      case "snapshot.opened":
        this.#isSnapshotKept = this.#input.keeper.isKept(fact.snapshot);
        if (fact.log) {
          this.#log = fact.log;
          this.#input.book.openLog(fact.log);
        }
        this.#input.book.noteOpenTransactions(fact.openTransactions);
        break;
      case "stream.read":
        this.#events.onStreamRead(fact);
        this.#tellExhausted(fact.stream);
        break;
      case "stream.failed":
        this.#leaveLog(fact.stream);
        break;
      default:
        break;
    }
    if (streamFacts.has(fact.type))
      this.#actor.send({ type: "stream.fact", fact: fact as StreamFact });
    else this.#actor.send(fact as RunEvent);
  }

  /** Where a run goes on without end its commit is not waited for. */
  #showLog(upTo: string): void {
    if (!this.#isLogOnly || !this.#input.log?.isContinuous) return;
    this.#applies.show(upTo);
  }

  /** What an attempt before this one has made durable does not wait for the next change. */
  #showKept(): void {
    const position = this.#log ? this.#input.book.logPosition() : null;
    if (position !== null) this.#showLog(position);
  }

  #orderApply(stream: number, upTo: string): boolean {
    const step = this.#input.book.applyStep(stream, upTo);
    if (step) this.#child("destination").send(step);
    return step !== null;
  }

  /** @throws ExtractError LOG_TURNED where another attempt has to copy a table again */
  #checkTold(readable: readonly DiscoveredWire[]): void {
    const { book, keeper, log } = this.#input;
    const untold = this.#log ? book.findUntold(readable) : [];
    for (const { table, columns, isCopiedAgain } of untold)
      log?.news.noteEvent(
        isCopiedAgain ? "log.copiedAgain" : "log.untold",
        `rows of ${table} that were copied before have other values in ${columns.join(", ")} than its log has told: ${isCopiedAgain ? "the table is copied again" : "they stay as they are in the copy until it is copied again"}`,
        { table, columns },
      );
    const again = untold.filter(({ isCopiedAgain }) => isCopiedAgain);
    if (again.length === 0) return;
    // that snapshot was taken without regard to them
    keeper.forget();
    throw new ExtractError(
      "LOG_TURNED",
      `${again.map(({ table }) => table).join(", ")} is copied again, since its log does not tell of all that has changed`,
      {},
    );
  }

  #startLog(): void {
    const { log, book } = this.#input;
    if (!log || !this.#log) return;
    const order = book.logOrder(log.isContinuous ? null : this.#log.now);
    this.#child("source").send(order);
    log.news.noteEvent("log.started", "the log is read", {
      position: order.from.position,
    });
  }

  /** The ledger gives the log up before the source is told to forget it. */
  #stepLog({
    step,
    measure,
  }: Extract<SourceFact, { type: "log.stepped" }>): void {
    const { log, book } = this.#input;
    if (!log) return;
    const reason = log.news.noteStep(step, measure);
    if (step !== "giveUp" || !book.giveUpLog(reason)) return;
    this.#states.noteGivenUp();
    log.news.noteEvent("log.givenUp", reason);
    this.#child("source").send({ type: "log.giveUp", reason } as {
      type: string;
    });
  }

  /**
   * Its changes are not read on; those of the others are. The log stays for it where it is, unless it was still being
   * copied by us: the next run copies it anew.
   */
  #leaveLog(stream: number): void {
    if (this.#log === null && !this.#input.isForeign) return;
    const { book, messages } = this.#input;
    const isCopying =
      messages === null &&
      this.#log !== null &&
      this.#log.connector !== "connect" &&
      !book.isCopied(book.stream(stream).ref);
    this.#states.noteFailed(stream, !isCopying);
    this.#child("source").send({ type: "log.leave", stream } as {
      type: string;
    });
  }

  /** A view holds no rows of its own: it is moved when it was named, not with everything else. */
  #choose<Found extends { readonly relationKind: string }>(
    found: readonly Found[],
  ): readonly Found[] {
    const log = this.#log;
    // what has come since the log was asked for has no changes there, and is copied by the next run
    if (log !== null)
      return found.filter((one) => {
        const { namespace, name } = nameFound(one);
        return log.tables.some(
          (table) => table.namespace === namespace && table.name === name,
        );
      });
    if (this.#input.selection.include.length > 0) return found;
    return found.filter(
      ({ relationKind }) =>
        relationKind === "table" || relationKind === "partitioned",
    );
  }

  /** @throws ExtractError SOURCE_TABLE_NOT_FOUND for a name that means none of the sync's tables */
  #narrow(found: {
    readonly streams: readonly DiscoveredWire[];
    readonly problems: Extract<
      SourceFact,
      { type: "source.discovered" }
    >["problems"];
  }): typeof found {
    const { streams: patterns, book } = this.#input;
    if (patterns === null) return found;
    const means = (pattern: string, namespace: string, name: string) =>
      meansRelation(pattern, { schema: namespace, name });
    const isMeant = (namespace: string, name: string) =>
      patterns.some((pattern) => means(pattern, namespace, name));
    const all = [
      ...found.streams.map(({ schema }) => schema),
      ...found.problems,
    ];
    // a table of an earlier attempt may be gone, which the book tells
    const stray =
      book.numbers === null &&
      patterns.find(
        (pattern) =>
          !all.some(({ namespace, name }) => means(pattern, namespace, name)),
      );
    if (typeof stray === "string")
      throw new ExtractError(
        "SOURCE_TABLE_NOT_FOUND",
        `${stray} is none of the sync's tables`,
        { pattern: stray },
      );
    return {
      streams: found.streams.filter(({ schema: { namespace, name } }) =>
        isMeant(namespace, name),
      ),
      problems: found.problems.filter(({ namespace, name }) =>
        isMeant(namespace, name),
      ),
    };
  }

  /** The plan of the run that this one repeats; the source answers as if it had made it. */
  #recallPlan(stream: number): boolean {
    const { planOf, ledger, messages, book } = this.#input;
    const discovered = this.#discovered.find(
      ({ schema }) => schema.number === stream,
    );
    if (!discovered) return false;
    const kept = messages?.planOf(discovered) ?? null;
    if (kept) book.expect(stream, kept.open);
    const recalled = kept
      ? { plan: this.#addLog(kept.plan), window: null }
      : planOf === null
        ? null
        : recallPlan(ledger, planOf, discovered);
    if (!recalled) return false;
    // not in the middle of the machine's own step
    setImmediate(() =>
      this.#actor.send({
        type: "stream.fact",
        fact: { type: "stream.planned", stream, ...recalled },
      }),
    );
    return true;
  }

  #addLog(plan: Plan): Plan {
    if (this.#log === null) return plan;
    const { partitions, stream } = plan;
    const log = this.#input.book.logPartition(
      stream,
      partitions.length,
      partitions.length > 0,
    );
    return { ...plan, partitions: [...partitions, log] };
  }

  #noteDurable(report: DurableReport): void {
    const { messages, book } = this.#input;
    if (messages?.isOfAll)
      this.#write(() => messages.recorded(book, report), ALL_STREAMS);
    else if (messages) this.#reports.set(placeOf(report), report);
  }

  #writeState(stream: number, index: number): void {
    const place = placeOf({ stream, index });
    const report = this.#reports.get(place);
    if (!report) return;
    this.#reports.delete(place);
    const { book } = this.#input;
    this.#write((messages) => messages.recorded(book, report), {
      stream,
      index,
    });
  }

  /** Messages of the protocol, behind the rows of what is in the ledger. */
  #write(
    describe: (messages: RunMessages) => readonly string[],
    state: { readonly stream: number; readonly index: number } | null = null,
  ): void {
    const given = this.#input.messages;
    const messages = given ? describe(given) : [];
    if (messages.length === 0) return;
    const order: DestinationOrder = {
      type: "messages.write",
      messages,
      ...(state ? { state } : {}),
    };
    this.#child("destination").send(order);
  }

  /** A connector of somebody else is to know when it has all of a stream: it may wait for that with its states. */
  #tellExhausted(stream: number): void {
    if (this.#input.destination.config.kind !== "airbyte") return;
    const order: DestinationOrder = {
      type: "stream.exhausted",
      stream,
      partitions: this.#input.book.partitionsToEnd(stream),
    };
    this.#child("destination").send(order);
  }

  #tell(...figures: readonly Figures[]): void {
    const { inspector } = this.#input;
    for (const one of figures) inspector?.tell(one);
  }

  #tellPlan(stream: number, done: readonly number[]): void {
    const { book, inspector } = this.#input;
    const { plan, ref } = book.stream(stream);
    if (inspector && plan) this.#tell(...describePlan(ref, plan, done));
  }

  #tellSplit({ giver, taker }: { giver: Partition; taker: Partition | null }) {
    const { plan, ref } = this.#input.book.stream(giver.stream);
    if (plan && taker) this.#tell(...describeSplit(ref, plan, [giver, taker]));
  }

  #readProtocol(role: Exclude<Role, "keeper">, message: unknown): void {
    const { type } = message as { type?: unknown };
    if (type !== "STATE") return;
    this.#states.addState(
      role,
      (message as StateMessage).state.stream.stream_state,
    );
  }

  #provide(): typeof runMachine {
    const { book, keeper, selection } = this.#input;
    const source = (order: { readonly type: string }): void =>
      this.#child("source").send(order);
    const destination = (order: { readonly type: string }): void =>
      this.#child("destination").send(order);
    return giveEffects(runMachine, {
      actors: {
        streamRun: giveEffects(streamRunMachine, {
          actors: {
            recordPlan: fromEffect(
              async ({ input: { stream, plan, window } }) => {
                for (const warning of window?.warnings ?? [])
                  this.#events.onWarning(warning);
                const work = book.recordPlan(stream, plan, window);
                this.#events.onPlanned(stream);
                return work;
              },
            ),
            recordCommitting: fromEffect(async ({ input }) => {
              const recorded = book.recordCommitting(input.stream, input.files);
              await this.#input.messages?.keep?.();
              return recorded;
            }),
            recordCommitted: fromEffect(async ({ input }) =>
              book.recordCommitted(input.stream),
            ),
            recordRemoved: fromEffect(async ({ input }) => {
              book.recordRemoved(input.stream);
              this.#events.onStreamEnded(input.stream);
            }),
            recordFailed: fromEffect(async ({ input }) => {
              if (this.#input.messages?.failsWhole)
                throw fromWireError(input.error);
              book.fail(input.stream, input.error);
              this.#events.onStreamEnded(input.stream);
            }),
          },
          actions: {
            orderPlan: (_, { stream }) => {
              const warning = book.warnBeforePlan(stream);
              if (warning !== null) this.#events.onWarning(warning);
              if (!this.#recallPlan(stream)) source(book.planOrder(stream));
            },
            orderRead: (_, { stream, work }) => {
              const { begin, read } = book.readOrders(stream, work);
              destination(begin);
              this.#write((messages) => messages.begun(book, stream));
              source(read);
              this.#tellPlan(stream, begin.seed.done);
            },
            orderStep: (_, { stream, step }) => {
              if (step === "supersede")
                destination(book.supersedeOrder(stream));
              else if (step === "abandon")
                destination({ type: "stream.abandon", stream } as {
                  type: string;
                });
              else if (step === "verify")
                this.#applies.afterwards(stream, () =>
                  destination({
                    type: "stream.verify",
                    ...book.commitStep(stream),
                  } as { type: string }),
                );
              else {
                this.#write((messages) => messages.complete(book, stream));
                destination({
                  type: `stream.${step}`,
                  ...book.commitStep(stream),
                });
              }
            },
          },
        }),
      },
      actions: {
        // spawning takes longer than all of the machine's steps together
        startProcesses: () =>
          queueMicrotask(() => this.#guarded(() => this.#startProcesses())),
        orderDiscover: (_, { snapshot }: { snapshot: SnapshotWire }) =>
          source({
            type: "source.discover",
            snapshot,
            numbers: book.numbers,
            heldColumns: this.#input.source.mappers ? [] : book.heldColumns,
            ...selection,
          } as { type: string }),
        orderLocks: () => {
          this.#guarded(() => {
            keeper.send({
              type: "snapshot.lock",
              relations: this.#discovered.flatMap(({ schema, leaves }) =>
                (this.#log && book.isCopied(schema) ? [] : leaves).map(
                  (leaf) => ({
                    schema: leaf.schema,
                    name: leaf.name,
                    oid: leaf.oid,
                    fileNode: leaf.fileNode,
                  }),
                ),
              ),
            });
          });
        },
        orderRecover: (_, { problems }) => {
          this.#guarded(() => {
            const refused = new Map(
              problems.map(({ oid, error }) => [oid, error]),
            );
            const readable = this.#discovered.filter(({ schema, leaves }) => {
              const error = leaves
                .map(({ oid }) => refused.get(oid))
                .find((one) => one !== undefined);
              if (error) book.noteProblem(schema, error);
              return !error;
            });
            this.#checkTold(readable);
            destination(book.register(readable));
            for (const change of book.schemaChanges)
              this.#events.onSchemaChanged(change);
          });
        },
        orderClean: (
          _,
          { reports, problems, strangers, isLedgerTrue = false },
        ) => {
          this.#guarded(() => {
            for (const stranger of strangers) {
              this.#events.onWarning(
                `${stranger} lies beside the files of this sync and is not touched`,
              );
            }
            const { clean, count } = book.recover(
              reports,
              problems,
              this.#isSnapshotKept,
              isLedgerTrue,
            );
            // only now: a crash before would have taken the new snapshot for the one that was read under
            keeper.record();
            this.#events.onResumed(count, this.#isSnapshotKept);
            destination(clean);
          });
        },
        registerStreams: () => {
          this.#guarded(() => {
            const streams = book.begin();
            for (const { stream, work } of streams)
              if (work) this.#events.onPlanned(stream);
            // before any stream is ordered to be read
            if (this.#log !== null && streams.some((one) => !one.isCommitting))
              this.#startLog();
            const messages = book.messagesOrder(this.#input.keepsStates);
            if (messages !== null) source(messages);
            setImmediate(() =>
              this.#actor.send({
                type: "run.registered",
                streams,
                refused: book.schemaChanges.filter(
                  ({ refusal }) => refusal !== null,
                ).length,
              }),
            );
          });
        },
        joinChannel: (_, { channel, path }) =>
          destination({ type: "channel.connect", channel, path } as {
            type: string;
          }),
        orderDrain: () => source({ type: "source.drain" }),
        orderFinish: (_, { role }) =>
          this.#child(role).send({ type: `${role}.finish` }),
        endProcesses: () => {
          for (const child of this.#children.values()) void child.end();
        },
        loseSnapshot: () => keeper.forget(),
      },
    });
  }
}

function placeOf({
  stream,
  index,
}: Pick<DurableReport, "stream" | "index">): string {
  return `${stream}/${index}`;
}

function nameFound(found: object): {
  readonly namespace: string;
  readonly name: string;
} {
  const one = found as
    | DiscoveredWire
    | { readonly namespace: string; readonly name: string };
  return "schema" in one ? one.schema : one;
}
