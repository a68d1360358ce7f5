/** One attempt: gives the run machine its processes, its ledger and its clock, and tells what it sees. */
import { createActor, fromPromise, type Actor } from "xstate";
import {
  runMachine,
  type Role,
  type RunEvent,
  type RunOutcome,
  type StreamFact,
} from "../actors/run/run.machine.ts";
import { streamRunMachine } from "../actors/run/stream-run.machine.ts";
import { createInspector } from "../actors/inspect.ts";
import type { StateMessage } from "../actors/state-message.ts";
import type { Ledger } from "../checkpoint/store/ledger.ts";
import type {
  DestinationFact,
  DestinationSettings,
  DiscoveredWire,
  InspectionRecord,
  KeeperFact,
  SnapshotWire,
  SourceFact,
  SourceSettings,
} from "../proto/control.ts";
import { toWireError, type WireError } from "../proto/error.ts";
import type { KeeperHold } from "./keeper-hold.ts";
import { PingWatch } from "./ping-watch.ts";
import { startChild, type Child } from "./processes.ts";
import type { ResumeCount, RunBook } from "./run-book.ts";
import { StateAccounts } from "./states.ts";

const START_DEADLINE_MS = 60_000;
const CLOSE_DEADLINE_MS = 120_000;

export interface AttemptInput {
  readonly ledger: Ledger;
  readonly book: RunBook;
  readonly keeper: KeeperHold;
  readonly source: SourceSettings;
  readonly destination: DestinationSettings;
  readonly selection: {
    readonly include: readonly string[];
    readonly exclude: readonly string[];
    readonly columns: readonly string[] | null;
  };
  readonly probeDeadlineMs: number;
}

export interface AttemptEvents {
  onResumed(count: ResumeCount, isSnapshotKept: boolean): void;
  onPlanned(stream: number): void;
  onProgress(progress: Extract<SourceFact, { type: "progress" }>): void;
  onDurable(stream: number, rows: number): void;
  onStreamEnded(stream: number): void;
  onStreamRead(fact: Extract<SourceFact, { type: "stream.read" }>): void;
  onWarning(message: string): void;
  onInspected(record: InspectionRecord): void;
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
  readonly #states: StateAccounts;
  readonly #pings: PingWatch;
  readonly #actor: Actor<typeof runMachine>;
  #discovered: readonly DiscoveredWire[] = [];
  #isSnapshotKept = false;

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
        this.#actor.send({ type: "state.recorded", stream, index });
      },
      (error) => this.#fault(error),
    );
    this.#pings = new PingWatch(input.probeDeadlineMs, (role, deadlineMs) => {
      if (role === "keeper") input.keeper.kill();
      this.#actor.send({ type: "process.silent", role, deadlineMs });
    });
    const inspect = input.source.inspect
      ? createInspector("bookkeeper", 0, (record) => events.onInspected(record))
      : null;
    this.#actor = createActor(this.#provide(), {
      input: {
        startDeadlineMs: START_DEADLINE_MS,
        closeDeadlineMs: CLOSE_DEADLINE_MS,
      },
      ...(inspect ? { inspect } : {}),
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
    this.#actor.send({ type: "run.stop" });
  }

  abort(): void {
    this.#actor.send({ type: "run.abort" });
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
  }

  #startProcesses(): void {
    const { ledger, source, destination, keeper } = this.#input;
    const { runId, epoch } = source.attempt;
    for (const role of ["source", "destination"] as const) {
      const child = startChild(role, {
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
      (fact) => this.#guarded(() => this.#receive("keeper", fact)),
      (child) => this.#pings.add("keeper", child),
    );
    for (const { role, pid, startTime } of this.#children.values()) {
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
        this.#events.onInspected(fact.event);
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
        this.#events.onDurable(fact.report.stream, fact.report.rows);
        return;
      case "partition.retried":
        this.#events.onWarning(
          `partition ${fact.stream}/${fact.partition} is read again after attempt ${fact.attempt}: ${fact.error.message}`,
        );
        return;
      case "partition.split":
        this.#child("source").send({
          type: "source.resplit",
          ...this.#input.book.recordSplit(fact),
        });
        return;
      case "channel.connected":
      case "channel.joined":
        return;
      case "source.discovered": {
        const streams = this.#choose(fact.streams);
        const problems = this.#choose(fact.problems);
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
        this.#input.book.noteOpenTransactions(fact.openTransactions);
        break;
      case "stream.read":
        this.#events.onStreamRead(fact);
        break;
      default:
        break;
    }
    if (streamFacts.has(fact.type))
      this.#actor.send({ type: "stream.fact", fact: fact as StreamFact });
    else this.#actor.send(fact as RunEvent);
  }

  /** A view holds no rows of its own: it is moved when it was named, not with everything else. */
  #choose<Found extends { readonly relationKind: string }>(
    found: readonly Found[],
  ): readonly Found[] {
    if (this.#input.selection.include.length > 0) return found;
    return found.filter(
      ({ relationKind }) =>
        relationKind === "table" || relationKind === "partitioned",
    );
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
    return runMachine.provide({
      actors: {
        streamRun: streamRunMachine.provide({
          actors: {
            recordPlan: fromPromise(
              async ({ input: { stream, plan, window } }) => {
                for (const warning of window?.warnings ?? [])
                  this.#events.onWarning(warning);
                const work = book.recordPlan(stream, plan, window);
                this.#events.onPlanned(stream);
                return work;
              },
            ),
            recordCommitting: fromPromise(async ({ input }) =>
              book.recordCommitting(input.stream, input.files),
            ),
            recordCommitted: fromPromise(async ({ input }) =>
              book.recordCommitted(input.stream),
            ),
            recordRemoved: fromPromise(async ({ input }) => {
              book.recordRemoved(input.stream);
              this.#events.onStreamEnded(input.stream);
            }),
            recordFailed: fromPromise(async ({ input }) => {
              book.fail(input.stream, input.error);
              this.#events.onStreamEnded(input.stream);
            }),
          },
          actions: {
            orderPlan: (_, { stream }) => {
              const warning = book.warnBeforePlan(stream);
              if (warning !== null) this.#events.onWarning(warning);
              source(book.planOrder(stream));
            },
            orderRead: (_, { stream, work }) => {
              const { begin, read } = book.readOrders(stream, work);
              destination(begin);
              source(read);
            },
            orderStep: (_, { stream, step }) => {
              if (step === "supersede")
                destination(book.supersedeOrder(stream));
              else if (step === "abandon")
                destination({ type: "stream.abandon", stream } as {
                  type: string;
                });
              else
                destination({
                  type: `stream.${step}`,
                  ...book.commitStep(stream),
                });
            },
          },
        }),
      },
      actions: {
        startProcesses: () => this.#guarded(() => this.#startProcesses()),
        orderDiscover: (_, { snapshot }: { snapshot: SnapshotWire }) =>
          source({
            type: "source.discover",
            snapshot,
            numbers: book.numbers,
            ...selection,
          } as { type: string }),
        orderLocks: () => {
          this.#guarded(() => {
            keeper.send({
              type: "snapshot.lock",
              relations: this.#discovered.flatMap(({ leaves }) =>
                leaves.map(({ schema, name, oid, fileNode }) => ({
                  schema,
                  name,
                  oid,
                  fileNode,
                })),
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
            destination(book.register(readable));
          });
        },
        orderClean: (_, { reports, problems, strangers }) => {
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
            setImmediate(() =>
              this.#actor.send({ type: "run.registered", streams }),
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
