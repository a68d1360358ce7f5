/**
 * The bookkeeper's book of one attempt: what the ledger knows of the run's streams, and what each is to do. Everything
 * that must survive is written to the ledger before anyone acts on it.
 */
import { strict as assert } from "node:assert";
import type {
  StreamRunInput,
  StreamWork,
} from "../actors/run/stream-run.machine.ts";
import { planResume } from "../checkpoint/resume.ts";
import { EMPTY_SEED } from "../checkpoint/state.ts";
import type { Ledger } from "../checkpoint/store/ledger.ts";
import type { LogEntryRecord, LogRecord } from "../checkpoint/store/logs.ts";
import type { StreamRecord } from "../checkpoint/store/records.ts";
import type { DurableReport, SealedFile } from "../proto/checkpoint.ts";
import type {
  CommitStep,
  CursorOrder,
  CursorWindow,
  DestinationOrder,
  DestinationStream,
  DiscoveredWire,
  GenerationIntent,
  HeldColumns,
  LogBoundWire,
  LogOpened,
  OpenTransactions,
  SourceFact,
  SourceOrder,
} from "../proto/control.ts";
import { ExtractError, type WireError } from "../proto/error.ts";
import type { Partition, Plan, Rung } from "../proto/partition.ts";
import type { StreamSchema } from "../proto/schema.ts";
import type { FilledColumns } from "./log-request.ts";
import type { KeptPlan, RunMessages } from "./run-messages.ts";
import { checkNames, nameAtDestination, type NamingRule } from "./naming.ts";
import { ForeignBook } from "./foreign-book.ts";
import { coveredOf } from "./source-states.ts";
import type { StreamRef, SyncMode } from "./request.ts";
import {
  compareColumns,
  describeDifference,
  findUntold,
  refuseDifference,
  type SchemaDifference,
  type SchemaPolicy,
} from "./schema-changes.ts";
import { nameTable } from "../proto/table-name.ts";

function isAgreed(
  accepted: boolean | readonly string[],
  { namespace, name }: { readonly namespace: string; readonly name: string },
): boolean {
  return typeof accepted === "boolean"
    ? accepted
    : accepted.includes(nameTable({ namespace, name }));
}

export interface BookSettings {
  readonly ledger: Ledger;
  readonly syncId: string;
  readonly runId: string;
  readonly epoch: number;
  readonly mode: SyncMode;
  readonly naming: NamingRule;
  readonly where: string | null;
  readonly cursor: {
    readonly column: string;
    readonly lagSeconds: number | null;
  } | null;
  /** Of an executable of the Airbyte protocol. */
  readonly messages?: RunMessages | null;
  /** Somebody else's connector reads the source. */
  readonly isForeign?: boolean;
  /** The log of the source is followed. */
  readonly isLogged?: boolean;
  readonly filledColumns?: FilledColumns;
  /** The run has earlier attempts. */
  readonly isResumed: boolean;
  readonly schemaChanges: {
    readonly policy: SchemaPolicy;
    /** As in the request. */
    readonly accepted: boolean | readonly string[];
  };
}

/** A stream that is not as its last committed run has left it. */
export interface SchemaChange {
  readonly ref: StreamRef;
  readonly difference: SchemaDifference;
  /** Why the stream is not read; null: it is. */
  readonly refusal: string | null;
}

/** A table in which rows that were copied before have values of which its log does not tell. */
export interface UntoldColumns {
  readonly table: string;
  readonly columns: readonly string[];
  readonly isCopiedAgain: boolean;
}

/** One stream as the attempt sees it. */
export interface BookStream {
  readonly ref: StreamRef;
  readonly schema: StreamSchema;
  readonly generation: number;
  /** The sync's; a stream that was reset replaces all that was copied before. */
  readonly mode: SyncMode;
  planVersion: number;
  plan: Plan | null;
  window: CursorWindow | null;
  files: readonly SealedFile[];
  rowsKept: number;
  removable: readonly number[];
  state: "open" | "committing" | "committed" | "failed";
  error: WireError | null;
}

export interface ResumeCount {
  readonly rowsKept: number;
  readonly rowsToReadAgain: number;
}

/** The states of a sync's generations, each stream's asked for once. */
class GenerationStates {
  readonly #ledger: Ledger;
  readonly #syncId: string;
  readonly #known = new Map<string, ReturnType<Ledger["generationsOf"]>>();

  constructor(ledger: Ledger, syncId: string) {
    this.#ledger = ledger;
    this.#syncId = syncId;
  }

  find(namespace: string, name: string, generation: number) {
    const key = JSON.stringify([namespace, name]);
    const known =
      this.#known.get(key) ??
      this.#ledger.generationsOf(this.#syncId, namespace, name);
    this.#known.set(key, known);
    return known.find((one) => one.generation === generation)?.state;
  }
}

export class RunBook {
  readonly #settings: BookSettings;
  /** Null: the source is one of ours. */
  readonly #foreign: ForeignBook | null;
  readonly #streams = new Map<number, BookStream>();
  readonly #work = new Map<number, StreamWork>();
  /** Where partitions of a plan that was kept stand before they are read. */
  readonly #open = new Map<number, KeptPlan["open"]>();
  readonly #problems: { ref: StreamRef; error: WireError }[] = [];
  readonly #schemaChanges: SchemaChange[] = [];
  /** A table that has changed since an earlier attempt of the run; null: none. */
  #outdated: string | null = null;
  #log: LogOpened | null = null;
  /** Where tables that this run copies come to a log that goes on already. */
  #entry: LogEntryRecord | null = null;
  #openTransactions: OpenTransactions | null = null;

  constructor(settings: BookSettings) {
    this.#settings = settings;
    this.#foreign = settings.isForeign ? new ForeignBook(settings) : null;
  }

  /** What the connector is told before it reads; null: the source is one of ours. */
  messagesOrder(
    keepsStates: boolean,
  ): Extract<SourceOrder, { type: "source.messages" }> | null {
    return this.#foreign?.order(this.streams, keepsStates) ?? null;
  }

  get epoch(): number {
    return this.#settings.epoch;
  }

  get streams(): readonly BookStream[] {
    return [...this.#streams.values()];
  }

  /** Tables that were chosen and cannot be read at all. */
  get problems(): readonly {
    readonly ref: StreamRef;
    readonly error: WireError;
  }[] {
    return this.#problems;
  }

  /** What `register` has found. */
  get schemaChanges(): readonly SchemaChange[] {
    return this.#schemaChanges;
  }

  /** What the source is to leave out: a copy that follows no change keeps the columns that it has. */
  get heldColumns(): readonly HeldColumns[] {
    const { ledger, syncId, schemaChanges, messages } = this.#settings;
    if (messages) return messages.columns;
    if (schemaChanges.policy !== "ignore") return [];
    return ledger
      .lastSchemasOf(syncId)
      .filter((stream) => !isAgreed(schemaChanges.accepted, stream))
      .map(({ namespace, name, schemaJson }) => ({
        namespace,
        name,
        columns: (JSON.parse(schemaJson) as StreamSchema).columns.map(
          (column) => column.name,
        ),
      }));
  }

  /** Null: it is not of this run. */
  find(number: number): BookStream | null {
    return this.#streams.get(number) ?? null;
  }

  stream(number: number): BookStream {
    const stream = this.#streams.get(number);
    if (!stream) throw new Error(`stream ${number} is not in the book`);
    return stream;
  }

  /** The numbers that streams had in earlier attempts; a resume reads no other stream. Null for a new run. */
  get numbers(): Extract<SourceOrder, { type: "source.discover" }>["numbers"] {
    const { ledger, runId, isResumed, isLogged } = this.#settings;
    const known = isResumed ? ledger.streamsOf(runId) : [];
    if (known.length === 0) return null;
    return known.map((stream) => {
      const { namespace, name, number } = stream;
      const schema = isLogged ? { schema: readSchema(stream) } : {};
      return { namespace, name, number, ...schema };
    });
  }

  /** As they were before the snapshot that this attempt reads under. */
  noteOpenTransactions(openTransactions: OpenTransactions): void {
    this.#openTransactions = openTransactions;
  }

  /** The log is held at the source. @throws where it is not that of the ledger */
  openLog(opened: LogOpened): void {
    const { ledger, syncId, runId, epoch } = this.#settings;
    const known = ledger.logOf(syncId);
    if (known?.stage !== "ready") ledger.openLog(runId, epoch, opened);
    else {
      const { position, offset, history } = opened;
      this.#entry = ledger.enterLog(
        runId,
        epoch,
        offset === null ? null : { position, offset, history },
      );
    }
    this.#log = opened;
  }

  /** Whether the log goes on where an earlier run of the table has ended, and no row of it is read. */
  isCopied({
    namespace,
    name,
  }: Pick<StreamRef, "namespace" | "name">): boolean {
    const { ledger, runId } = this.#settings;
    const known = ledger
      .streamsOf(runId)
      .find((one) => one.namespace === namespace && one.name === name);
    return known
      ? known.mode === "cdc"
      : this.#logPosition(namespace, name) !== null;
  }

  /** The tables whose changes alone are read. */
  get copied(): readonly Pick<StreamRef, "namespace" | "name">[] {
    const { ledger, syncId } = this.#settings;
    return ledger
      .lastSchemasOf(syncId)
      .filter((one) => this.isCopied(one))
      .map(({ namespace, name }) => ({ namespace, name }));
  }

  /** Null: the table is to be copied. */
  #logPosition(namespace: string, name: string): string | null {
    const { ledger, syncId, runId } = this.#settings;
    if (ledger.isStreamReset(runId, namespace, name)) return null;
    const state = ledger.cursorState(syncId, namespace, name);
    const position = state === null ? null : readLogCursor(state);
    const reached = ledger.logOf(syncId)?.position ?? null;
    // what has gone on without this table, in a run that was given up or has failed for it, does not come again
    return position === null || reached === null || position < reached
      ? null
      : position;
  }

  /** What the log's reader begins with. */
  logOrder(until: string | null): Extract<SourceOrder, { type: "source.log" }> {
    const { ledger, syncId, runId } = this.#settings;
    const known = ledger.logOf(syncId);
    assert(known?.position && known.identity !== null && this.#log);
    const { identity, position, offset, history } = known;
    const open = this.streams.filter(({ state }) => state === "open");
    const entry = this.#entry;
    return {
      type: "source.log",
      streams: open.map(({ ref }) => ref.number),
      identity,
      from: { position, offset, history },
      until: entry ? entry.position : until,
      discoveredAt: this.#log.before,
      end: ledger.logEndOf(runId),
      connector: this.#log.connector,
      entry: entry && {
        ...entry,
        streams: open
          .filter(({ ref }) => !this.isCopied(ref) && !this.#isBegun(ref))
          .map(({ ref }) => ref.number),
      },
    };
  }

  /** A part of it was read by a run before, and the log goes on with it. */
  #isBegun(ref: Pick<StreamRef, "namespace" | "name">): boolean {
    const log = this.#settings.messages?.log ?? null;
    return log !== null && log.isBegun(ref) && !log.isEntering(ref);
  }

  /** Where the sync's log stands by now; null: it has none. */
  logRecord(): LogRecord | null {
    const { ledger, syncId } = this.#settings;
    return ledger.logOf(syncId);
  }

  /** Null: no table comes to the log in this run. */
  get entry(): LogEntryRecord | null {
    return this.#entry;
  }

  /** The partition that is the stream's log, behind those of a plan that was kept. */
  logPartition(number: number, ordinal: number, isRead: boolean): Partition {
    const { ref } = this.stream(number);
    const { log } = this.planOrder(number);
    assert(log, "a stream whose log is followed");
    return {
      ...{ stream: number, ordinal, only: false },
      relation: { schema: ref.namespace, name: ref.name, oid: 0 },
      split: {
        kind: "log",
        after: log.after,
        snapshot: isRead ? log.snapshot : null,
      },
      ...{ estimatedRows: 0, estimatedBytes: 0 },
    };
  }

  #describeRecords(number: number): Pick<DestinationStream, "changes"> {
    const { log } = this.#settings.messages ?? {};
    if (!log || !this.#log) return {};
    const { connector } = this.#log;
    const offset = this.logRecord()?.offset ?? "";
    const logFile = /"file":"([^"\\]{1,255})"/.exec(offset)?.[1] ?? null;
    const { ref } = this.stream(number);
    return { changes: log.describeRecords(ref, { connector, logFile }) };
  }

  /** Up to where the ledger has the log; null: there is none. */
  logPosition(): string | null {
    const { ledger, syncId } = this.#settings;
    return ledger.logOf(syncId)?.position ?? null;
  }

  /** @param cutBy table whose new shape ends it before its time; null: none */
  endLog(position: string, cutBy: string | null): string {
    const { ledger, runId, epoch } = this.#settings;
    return ledger.endLog(runId, epoch, position, cutBy);
  }

  /** @returns whether it was; not where the run's log has come to its end, and goes with the next one's */
  giveUpLog(reason: string): boolean {
    const { ledger, runId, epoch } = this.#settings;
    if (ledger.logEndOf(runId) !== null) return false;
    ledger.giveUpLog(runId, epoch, reason);
    return true;
  }

  /** Null: the stream has no log, or none of it counts yet. */
  logBound(number: number, upTo: string | null): LogBoundWire | null {
    const { ledger, runId } = this.#settings;
    const position = upTo ?? ledger.logEndOf(runId);
    const partitions = (this.stream(number).plan?.partitions ?? [])
      .filter(({ split }) => split.kind === "log")
      .map(({ ordinal }) => ordinal);
    if (partitions.length === 0 || position === null) return null;
    const log = this.#log;
    return {
      partitions,
      upTo: position,
      consistentFrom: log?.consistentFrom ?? null,
    };
  }

  noteProblem(ref: Omit<StreamRef, "number">, error: WireError): void {
    this.#problems.push({ ref: { ...ref, number: 0 }, error });
  }

  /**
   * Enters the discovered streams into the ledger, or finds them there again.
   * @throws ExtractError STATE_INCOMPATIBLE where a stream's columns are not those that its files have
   */
  register(
    discovered: readonly DiscoveredWire[],
  ): Extract<DestinationOrder, { type: "destination.recover" }> {
    const { ledger, runId, syncId } = this.#settings;
    const recorded = new Map(
      ledger.streamsOf(runId).map((one) => [one.number, one]),
    );
    this.#foreign?.note(discovered);
    checkNames(
      this.#settings.naming,
      discovered.map(({ schema }) => schema),
    );
    // what was refused once is looked at again by each attempt, until it is agreed to
    const isCompared = ({ schema: { number } }: DiscoveredWire): boolean => {
      const known = recorded.get(number);
      return !known || known.error?.code === "SCHEMA_CHANGE_REFUSED";
    };
    const before = new Map(
      (discovered.some(isCompared) ? ledger.lastSchemasOf(syncId) : []).map(
        (one) => [JSON.stringify([one.namespace, one.name]), one.schemaJson],
      ),
    );
    ledger.transaction(() => {
      for (const wire of discovered) {
        const { schema } = wire;
        const known = recorded.get(schema.number);
        const stream = known
          ? this.#findAgain(schema, known)
          : this.#begin(schema);
        this.#streams.set(schema.number, stream);
        if (!known) this.#putStream(stream, null);
        if (wire.isOutdated === true) this.#noteOutdated(stream);
        if (!isCompared(wire)) continue;
        const json = before.get(
          JSON.stringify([schema.namespace, schema.name]),
        );
        if (json !== undefined)
          this.#compare(stream, JSON.parse(json) as StreamSchema, wire);
      }
    });
    for (const known of recorded.values()) {
      const { number, namespace, name } = known;
      if (this.#streams.has(number)) continue;
      // all its rows are durable: what became of the table does not matter any more
      if (hasAllRows(known)) {
        this.#streams.set(number, this.#findAgain(readSchema(known), known));
        continue;
      }
      this.noteProblem(
        { namespace, name },
        {
          code: "SOURCE_SCHEMA_CHANGED",
          message: `${nameTable({ namespace, name })} is no longer there or can no longer be read`,
          details: {},
        },
      );
    }
    return {
      type: "destination.recover",
      streams: this.streams.map((stream) => ({
        ...this.destinationStream(stream.ref.number),
        knownGenerations: ledger
          .generationsOf(syncId, stream.ref.namespace, stream.ref.name)
          .map(({ generation }) => generation),
        resumed:
          recorded.has(stream.ref.number) && stream.state !== "committed",
        ...(stream.state === "open" ? {} : { isOver: true }),
      })),
    };
  }

  /**
   * Streams whose copy would not be their table, were their changes alone read. Those that are to be copied again are
   * forgotten: another attempt takes a snapshot of them.
   */
  findUntold(discovered: readonly DiscoveredWire[]): UntoldColumns[] {
    const { ledger, syncId, runId, epoch, isLogged, filledColumns } =
      this.#settings;
    const copied = isLogged
      ? discovered.filter(({ schema }) => this.isCopied(schema))
      : [];
    if (copied.length === 0) return [];
    const recorded = new Set(
      ledger.streamsOf(runId).map(({ number }) => number),
    );
    const before = ledger.lastSchemasOf(syncId);
    const { policy, accepted } = this.#settings.schemaChanges;
    return copied.flatMap(({ schema, filledColumns: filled = [] }) => {
      const { namespace, name, number } = schema;
      const known = before.find(
        (one) => one.namespace === namespace && one.name === name,
      );
      const difference =
        known &&
        compareColumns(JSON.parse(known.schemaJson) as StreamSchema, schema);
      if (!difference || recorded.has(number)) return [];
      if (refuseDifference(policy, difference) && !isAgreed(accepted, schema))
        return [];
      const columns = findUntold(difference, filled);
      if (columns.length === 0) return [];
      const isCopiedAgain = filledColumns !== "warn";
      if (isCopiedAgain)
        ledger.forgetStreamLog(runId, epoch, { namespace, name });
      return [
        { table: nameTable({ namespace, name }), columns, isCopiedAgain },
      ];
    });
  }

  #compare(
    { ref }: BookStream,
    before: StreamSchema,
    { schema, allColumnNames }: DiscoveredWire,
  ): void {
    const { policy, accepted } = this.#settings.schemaChanges;
    const isAccepted = isAgreed(accepted, ref);
    const difference = compareColumns(before, schema);
    const left =
      policy === "ignore" && !isAccepted
        ? findLeftOut(before, schema, allColumnNames ?? [])
        : [];
    if (difference === null && left.length === 0) return;
    const whole: SchemaDifference = {
      added: [...(difference?.added ?? []), ...left],
      removed: difference?.removed ?? [],
      changed: difference?.changed ?? [],
    };
    const refusal = isAccepted ? null : refuseDifference(policy, whole);
    this.#schemaChanges.push({ ref, difference: whole, refusal });
    if (refusal === null) return;
    this.fail(ref.number, {
      code: "SCHEMA_CHANGE_REFUSED",
      message: `${nameTable(ref)} has changed (${describeDifference(whole)}), and ${refusal}`,
      details: { table: nameTable(ref) },
    });
  }

  #putStream(
    { schema, generation, mode }: BookStream,
    cursorWindowJson: string | null,
  ): void {
    const { ledger, runId, epoch } = this.#settings;
    const { number, namespace, name, fingerprint } = schema;
    ledger.putStream(runId, epoch, {
      number,
      namespace,
      name,
      schemaJson: JSON.stringify(schema),
      fingerprint,
      generation,
      mode,
      cursorWindowJson,
    });
  }

  #begin(schema: StreamSchema): BookStream {
    const { ledger, syncId, runId, mode, isLogged } = this.#settings;
    const { namespace, name } = schema;
    const replaces = isLogged
      ? !this.isCopied(schema)
      : ledger.isStreamReset(runId, namespace, name) ||
        (this.#foreign?.isCopiedWhole(schema) ?? false);
    return createStream(
      schema,
      ledger.nextGeneration(syncId, namespace, name),
      replaces
        ? "full-refresh-overwrite"
        : (this.#settings.messages?.choiceOf(schema)?.mode ?? mode),
    );
  }

  /**
   * Its table has changed since an earlier attempt: what that has read of the log is whole, and ends there.
   * @throws ExtractError RUN_OUTDATED where rows of the table itself are still to be read
   */
  #noteOutdated({ ref, state, mode }: BookStream): void {
    if (state !== "open") return;
    const { ledger, runId } = this.#settings;
    const table = nameTable(ref);
    const durable = ledger.durableOf(runId, ref.number);
    const plan = ledger.planOf(runId, ref.number);
    const isRead = plan ? isCopyDurable(plan, durable) : mode === "cdc";
    if (!isRead)
      throw new ExtractError(
        "RUN_OUTDATED",
        `${table} has other columns than when this run began to copy it`,
        { table },
      );
    this.#outdated ??= table;
  }

  /** Behind all that any stream has: what is durable beyond the log's own place would else come a second time. */
  #endOutdated(): void {
    if (this.#outdated === null) return;
    const { ledger, runId } = this.#settings;
    const places = ledger
      .durableOf(runId)
      .flatMap(({ position }) =>
        position?.kind === "log" ? [position.after] : [],
      );
    const position = this.logPosition();
    const end = [...places, ...(position ? [position] : [])].toSorted().at(-1);
    assert(end !== undefined, "a log that is followed has a place");
    this.endLog(end, this.#outdated);
  }

  #findAgain(schema: StreamSchema, known: StreamRecord): BookStream {
    if (known.fingerprint !== schema.fingerprint && !hasAllRows(known)) {
      throw new ExtractError(
        "STATE_INCOMPATIBLE",
        `${nameTable(known)} has other columns than when this run began`,
        { stream: nameTable(known) },
      );
    }
    // files that are complete keep the columns that they were written with
    const written = hasAllRows(known) ? readSchema(known) : schema;
    const stream = createStream(written, known.generation, known.mode);
    stream.planVersion = known.planVersion;
    stream.window = readWindow(known);
    stream.error = known.error;
    if (
      known.state === "committed" ||
      known.state === "committing" ||
      known.state === "failed"
    ) {
      stream.state = known.state;
    }
    return stream;
  }

  destinationStream(number: number): DestinationStream {
    const { schema, generation, planVersion, mode } = this.stream(number);
    const names = nameAtDestination(this.#settings.naming, schema);
    return { schema: { ...schema, ...names }, generation, planVersion, mode };
  }

  /**
   * Merges what the destination has found and decides what is read again.
   * @throws ExtractError DESTINATION_FAILED where the destination has lost files that the ledger knows
   */
  recover(
    reports: readonly DurableReport[],
    problems: readonly { readonly stream: number; readonly error: WireError }[],
    isSnapshotKept: boolean,
    isLedgerTrue = false,
  ): {
    readonly clean: Extract<DestinationOrder, { type: "destination.clean" }>;
    readonly count: ResumeCount;
  } {
    const { ledger, runId, epoch } = this.#settings;
    for (const { stream, error } of problems) this.fail(stream, error);
    const { missing } = ledger.mergeRecovered(runId, epoch, reports);
    this.#endOutdated();
    const [lost] = missing.filter(
      (one) => this.#streams.get(one.stream)?.state === "open",
    );
    if (lost && !isLedgerTrue) {
      throw new ExtractError(
        "DESTINATION_FAILED",
        `files that were durable are gone: ${lost.files.map((file) => file.path).join(", ")}; begin anew with --restart`,
        { stream: lost.stream, partition: lost.partition },
      );
    }
    const open = this.streams.filter((stream) => stream.state === "open");
    const isOpen = new Set(open.map((stream) => stream.ref.number));
    const plan = planResume(
      ledger.partitionsOf(runId).filter((one) => isOpen.has(one.stream)),
      ledger.durableOf(runId).filter((one) => isOpen.has(one.stream)),
      {
        snapshotKept: isSnapshotKept,
        windowed: new Set(
          open
            .filter((stream) => stream.window !== null)
            .map((stream) => stream.ref.number),
        ),
        // where a foreign source goes on is what it has said itself
        ...(this.#foreign ? { covers: coveredOf(ledger, runId).covers } : {}),
      },
    );
    ledger.applyResume(runId, epoch, plan);
    const kept = Map.groupBy(plan.kept, (one) => one.stream);
    const orders = Map.groupBy(plan.orders, (one) => one.stream);
    for (const stream of open) this.#resume(stream, plan, kept, orders);
    return {
      clean: {
        type: "destination.clean",
        intents: this.#intents(),
        keep: this.#filesThatCount(),
      },
      count: {
        rowsKept: plan.keptRows,
        rowsToReadAgain: plan.rowsToReadAgainEstimate,
      },
    };
  }

  #resume(
    stream: BookStream,
    plan: ReturnType<typeof planResume>,
    kept: ReadonlyMap<number, typeof plan.kept>,
    orders: ReadonlyMap<number, typeof plan.orders>,
  ): void {
    const { ledger, runId } = this.#settings;
    const { number } = stream.ref;
    stream.plan = ledger.planOf(runId, number);
    if (!stream.plan) {
      stream.window = null;
      return;
    }
    stream.rowsKept = (kept.get(number) ?? []).reduce(
      (sum, { rows }) => sum + rows,
      0,
    );
    this.#work.set(number, {
      partitions: stream.plan.partitions,
      orders: orders.get(number) ?? [],
      seed: plan.seeds.get(number) ?? EMPTY_SEED,
      window: stream.window,
    });
  }

  /** What may be removed: only names that an intent of this ledger covers, of generations that are not committed. */
  #intents(stream?: Pick<StreamRef, "namespace" | "name">): GenerationIntent[] {
    const { ledger, syncId, runId, epoch, naming } = this.#settings;
    const states = new GenerationStates(ledger, syncId);
    const byGeneration = new Map<
      string,
      GenerationIntent & { epochs: number[] }
    >();
    for (const {
      namespace,
      name,
      generation,
      epoch: wrote,
      runId: owner,
    } of ledger.intentsOf({ syncId, ...(stream ? { stream } : {}) })) {
      const state = states.find(namespace, name, generation);
      // of a commit that was begun, what it left of its manifest
      const isOurs =
        (state === "open" || state === "committing") && owner === runId;
      if (!isOurs && state !== "abandoned" && state !== "superseded") continue;
      const key = `${namespace}/${name}/${generation}`;
      const known = byGeneration.get(key);
      if (known) known.epochs.push(wrote);
      else {
        byGeneration.set(key, {
          ...nameAtDestination(naming, { namespace, name }),
          generation,
          epochs: [wrote],
          currentEpoch: isOurs ? epoch : null,
        });
      }
    }
    return [...byGeneration.values()];
  }

  #filesThatCount(): string[] {
    const { ledger, runId } = this.#settings;
    return ledger
      .durableOf(runId)
      .flatMap(({ files }) => files.map(({ path }) => path));
  }

  /** The streams of this attempt and where each begins. */
  begin(): StreamRunInput[] {
    return this.streams
      .filter(({ state }) => state === "open" || state === "committing")
      .map(({ ref, state }) => ({
        stream: ref.number,
        work: this.#work.get(ref.number) ?? null,
        isCommitting: state === "committing",
      }));
  }

  planOrder(number: number): Extract<SourceOrder, { type: "source.plan" }> {
    const { where, ledger, syncId, messages } = this.#settings;
    const { namespace, name } = this.stream(number).ref;
    const cursor = this.#cursorOf({ namespace, name });
    const order: CursorOrder | null = cursor && {
      ...cursor,
      state:
        messages?.cursorOf({ namespace, name }) ??
        ledger.cursorState(syncId, namespace, name),
      openTransactions: this.#openTransactions,
    };
    const log = this.#log;
    return {
      type: "source.plan",
      stream: number,
      where,
      cursor: order,
      ...(log ? { log: this.#planLog(log, { namespace, name }) } : {}),
    };
  }

  #planLog(
    { takenAt, visible, ...log }: LogOpened,
    { namespace, name }: Pick<StreamRef, "namespace" | "name">,
  ): NonNullable<Extract<SourceOrder, { type: "source.plan" }>["log"]> {
    const after = this.#logPosition(namespace, name);
    if (after !== null) return { after, snapshot: null };
    const known = this.#settings.messages?.log ?? null;
    if (known?.isBegun({ namespace, name })) {
      const reached = known.isEntering({ namespace, name })
        ? (this.#entry?.position ?? null)
        : this.logPosition();
      assert(reached !== null);
      // rows that were read before have none of what this snapshot shows
      const snapshot = { position: reached, takenAt, visible: null };
      return { after: reached, snapshot };
    }
    const { position } = this.#entry ?? log;
    return { after: position, snapshot: { position, takenAt, visible } };
  }

  #cursorOf(ref: Omit<StreamRef, "number">): BookSettings["cursor"] {
    const { cursor, messages } = this.#settings;
    const choice = messages?.choiceOf(ref) ?? null;
    return choice === null ? cursor : choice.cursor;
  }

  /** The stream goes on with a plan that was kept: of some of its partitions a part has been read. */
  expect(number: number, open: KeptPlan["open"]): void {
    this.#open.set(number, open);
  }

  /** Where the partitions of a stream stood when the run began. */
  openAtStart(number: number): KeptPlan["open"] {
    return this.#open.get(number) ?? [];
  }

  /** For people, before a stream is planned. */
  warnBeforePlan(number: number): string | null {
    const { cursor, ledger, syncId } = this.#settings;
    const { ref, mode } = this.stream(number);
    const { namespace, name } = ref;
    // rows that come again replace themselves, or all that was there
    if (mode !== "incremental-append") return null;
    if (cursor === null || ledger.cursorState(syncId, namespace, name) !== null)
      return null;
    const hasRows = ledger
      .generationsOf(syncId, namespace, name)
      .some(({ state }) => state === "committed");
    return hasRows
      ? `${nameTable({ namespace, name })} was copied as a whole before: this first incremental run adds every row to that, a second time`
      : null;
  }

  recordPlan(
    number: number,
    planned: Plan,
    window: CursorWindow | null,
  ): StreamWork {
    const { ledger, runId, epoch } = this.#settings;
    const stream = this.stream(number);
    ledger.transaction(() => {
      if (window) this.#putStream(stream, JSON.stringify(window));
      const { plan, planVersion } = ledger.putPlan(runId, epoch, planned);
      ledger.setStreamState(runId, epoch, number, "reading");
      stream.plan = plan;
      stream.planVersion = planVersion;
      stream.window = window;
    });
    const partitions = stream.plan?.partitions ?? [];
    const open = this.openAtStart(number);
    return {
      partitions,
      orders: partitions.map(({ ordinal }) => ({
        stream: number,
        partition: ordinal,
        resumeAfter:
          open.find((one) => one.partition === ordinal)?.position ?? null,
      })),
      seed: { ...EMPTY_SEED, open },
      window,
    };
  }

  /** One transaction for both parts; a stream that is not read any more keeps its partitions. */
  recordSplit({
    giver,
    taker,
  }: Pick<
    Extract<SourceFact, { type: "partition.split" }>,
    "giver" | "taker"
  >): {
    readonly giver: Partition;
    readonly taker: Partition | null;
  } {
    const { ledger, runId, epoch } = this.#settings;
    const stream = this.stream(giver.stream);
    if (stream.state !== "open") return { giver, taker: null };
    const added = ledger.splitPartition(runId, epoch, giver, taker);
    stream.plan = ledger.planOf(runId, giver.stream);
    return { giver, taker: added };
  }

  readOrders(
    number: number,
    work: StreamWork,
  ): {
    readonly begin: Extract<DestinationOrder, { type: "stream.begin" }>;
    readonly read: Extract<SourceOrder, { type: "source.read" }>;
  } {
    return {
      begin: {
        type: "stream.begin",
        stream: {
          ...this.destinationStream(number),
          ...(this.#settings.messages && !this.isResumable(number)
            ? { statesAtEnd: true }
            : {}),
          ...this.#describeRecords(number),
        },
        seed: work.seed,
      },
      read: {
        type: "source.read",
        stream: number,
        where: this.#settings.where,
        ...work,
      },
    };
  }

  /** Whether another run, under another snapshot, may go on in the middle of the stream. */
  isResumable(number: number): boolean {
    const { window, plan } = this.stream(number);
    return (
      window === null &&
      (plan?.partitions ?? []).every(({ split }) => split.kind === "key")
    );
  }

  /** Partitions of which this attempt reads something. */
  partitionsToEnd(number: number): readonly number[] {
    const done = new Set(this.#work.get(number)?.seed.done);
    return (this.stream(number).plan?.partitions ?? [])
      .map(({ ordinal }) => ordinal)
      .filter((ordinal) => !done.has(ordinal));
  }

  commitStep(number: number): CommitStep {
    const { ledger, runId } = this.#settings;
    const stream = this.stream(number);
    const durable = ledger
      .durableOf(runId, number)
      .flatMap(({ files }) => files);
    return {
      stream: this.destinationStream(number),
      mode: stream.mode,
      files: stream.files.length > 0 ? stream.files : durable,
      committedAt: new Date().toISOString(),
      ...this.#describeBound(number),
    };
  }

  /** Shows readers what the ledger has of the stream up to a place in the log; null: nothing of it yet. */
  applyStep(
    number: number,
    upTo: string,
  ): Extract<DestinationOrder, { type: "stream.apply" }> | null {
    const { ledger, runId } = this.#settings;
    const log = this.logBound(number, upTo);
    const stream = this.stream(number);
    if (log === null || stream.state !== "open") return null;
    const durable = ledger.durableOf(runId, number);
    if (stream.plan && !isCopyDurable(stream.plan, durable)) return null;
    return {
      type: "stream.apply",
      stream: this.destinationStream(number),
      mode: stream.mode,
      files: durable
        .filter(
          ({ position }) => position?.kind !== "log" || position.after <= upTo,
        )
        .flatMap(({ files }) => files),
      committedAt: new Date().toISOString(),
      log,
    };
  }

  #describeBound(number: number): { readonly log?: LogBoundWire } {
    const log = this.#settings.isLogged ? this.logBound(number, null) : null;
    return log ? { log } : {};
  }

  supersedeOrder(
    number: number,
  ): Extract<DestinationOrder, { type: "stream.supersede" }> {
    const { removable, ref } = this.stream(number);
    return {
      type: "stream.supersede",
      stream: this.destinationStream(number),
      intents: this.#intents(ref).filter((one) =>
        removable.includes(one.generation),
      ),
    };
  }

  recordCommitting(number: number, files: readonly SealedFile[]): void {
    const { ledger, runId, epoch } = this.#settings;
    const stream = this.stream(number);
    stream.files = files;
    ledger.setStreamState(runId, epoch, number, "committing");
    stream.state = "committing";
  }

  recordCommitted(number: number): void {
    const { ledger, runId, epoch } = this.#settings;
    const stream = this.stream(number);
    const end = ledger.logEndOf(runId);
    const cursorState =
      this.#foreign?.describeState(stream.ref) ??
      (end === null
        ? (stream.window?.nextState ?? null)
        : JSON.stringify({ log: end }));
    stream.removable = ledger.commitStream(runId, epoch, number, {
      cursorState,
    }).removable;
    stream.state = "committed";
  }

  recordRemoved(number: number): void {
    const { ledger, runId, epoch } = this.#settings;
    const { removable } = this.stream(number);
    if (removable.length > 0)
      ledger.recordRemoved(runId, epoch, number, removable);
  }

  fail(number: number, error: WireError): void {
    const { ledger, runId, epoch } = this.#settings;
    const stream = this.stream(number);
    if (stream.state === "failed") return;
    ledger.setStreamState(runId, epoch, number, "failed", error);
    stream.state = "failed";
    stream.error = error;
  }

  /** Rows that are durable of a stream, from the ledger. */
  countRows(number: number): number {
    const { ledger, runId } = this.#settings;
    return ledger
      .durableOf(runId, number)
      .reduce((sum, { rows }) => sum + rows, 0);
  }

  rungOf(number: number): Rung | null {
    return this.stream(number).plan?.rung ?? null;
  }
}

/** Null: what another mode of the sync has left. */
function readLogCursor(state: string): string | null {
  try {
    const { log } = JSON.parse(state) as { readonly log?: unknown };
    return typeof log === "string" ? log : null;
  } catch {
    return null;
  }
}

/** A commit that is finished by a later attempt moves the cursor too, so the window is known from the beginning. */
function readWindow({ cursorWindowJson }: StreamRecord): CursorWindow | null {
  return cursorWindowJson === null
    ? null
    : (JSON.parse(cursorWindowJson) as CursorWindow);
}

/** Columns that the table has and the copy goes without, since it had not had them before. */
function findLeftOut(
  before: StreamSchema,
  now: StreamSchema,
  all: readonly string[],
): string[] {
  const known = new Set(
    [...before.columns, ...now.columns].map(({ name }) => name),
  );
  return all.filter((name) => !known.has(name));
}

function createStream(
  schema: StreamSchema,
  generation: number,
  mode: SyncMode,
): BookStream {
  const { number, namespace, name } = schema;
  return {
    ref: { number, namespace, name },
    schema,
    generation,
    mode,
    planVersion: 0,
    plan: null,
    window: null,
    files: [],
    rowsKept: 0,
    removable: [],
    state: "open",
    error: null,
  };
}

/** Each partition of the copy to its last row, whatever of the log. */
function isCopyDurable(
  { partitions }: Plan,
  durable: ReturnType<Ledger["durableOf"]>,
): boolean {
  return partitions.every(
    ({ split, ordinal }) =>
      split.kind === "log" ||
      durable.some(({ partition, last }) => last && partition === ordinal),
  );
}

function hasAllRows({ state }: StreamRecord): boolean {
  return state === "committing" || state === "committed";
}

function readSchema({ schemaJson }: StreamRecord): StreamSchema {
  return JSON.parse(schemaJson) as StreamSchema;
}
