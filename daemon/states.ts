/**
 * The two accounts of each state: the source's and the destination's, from their stdout. A state is recorded once both
 * agree and every checkpoint it covers is in the ledger as durable; what arrives in one turn shares one transaction.
 */
import type { Role } from "../actors/run/run.machine.ts";
import { stateJson } from "../checkpoint/state.ts";
import type { Ledger } from "../checkpoint/store/ledger.ts";
import type { DurableReport, StreamState } from "../proto/checkpoint.ts";
import type { SourceFact, StateGroupWire } from "../proto/control.ts";
import { LogGroups } from "./log-groups.ts";
import { SourceGroups } from "./source-states.ts";

type LoggedGroup = Extract<SourceFact, { type: "log.checkpoint" }>;
type StateGroup = Extract<SourceFact, { type: "source.state" }>;

interface Account {
  state: StreamState | null;
  source: string | null;
  destination: string | null;
}

interface StreamAccounts {
  /** By index. */
  readonly waiting: Map<number, Account>;
  /** Rows of durable checkpoints by index, until a state covers them. */
  readonly durable: Map<number, number>;
  rowsRecorded: number;
}

export class StateAccounts {
  readonly #ledger: Ledger;
  readonly #runId: string;
  readonly #epoch: number;
  readonly #onRecorded: (stream: number, index: number) => void;
  readonly #onFault: (error: unknown) => void;
  readonly #streams = new Map<number, StreamAccounts>();
  readonly #groups: LogGroups;
  readonly #onLogged: (group: LoggedGroup) => void;
  readonly #sourceGroups: SourceGroups;
  readonly #onSourceStates: (groups: readonly StateGroupWire[]) => void;
  #reports: DurableReport[] = [];
  #isScheduled = false;

  constructor(
    place: {
      readonly ledger: Ledger;
      readonly runId: string;
      readonly epoch: number;
    },
    onRecorded: (stream: number, index: number) => void,
    onFault: (error: unknown) => void,
    onLogged: (group: LoggedGroup) => void = () => {},
    onSourceStates: (groups: readonly StateGroupWire[]) => void = () => {},
  ) {
    this.#sourceGroups = new SourceGroups(place);
    this.#onSourceStates = onSourceStates;
    this.#groups = new LogGroups(place);
    this.#onLogged = onLogged;
    this.#ledger = place.ledger;
    this.#runId = place.runId;
    this.#epoch = place.epoch;
    this.#onRecorded = onRecorded;
    this.#onFault = onFault;
  }

  addDurable(report: DurableReport): void {
    this.#reports.push(report);
    this.#schedule();
  }

  /** A checkpoint of the log, over all streams. */
  addGroup(group: LoggedGroup): void {
    this.#groups.add(group);
    this.#schedule();
  }

  /** A state of a foreign source. */
  addSourceState({ type: _, ...group }: StateGroup): void {
    this.#sourceGroups.add(group);
    this.#schedule();
  }

  /** @param isHeld the log stays where it is */
  noteFailed(stream: number, isHeld: boolean): void {
    this.#groups.noteFailed(stream, isHeld);
    this.#schedule();
  }

  /** No run goes on with the log: it stays where it is, whatever is still told of it. */
  noteGivenUp(): void {
    this.#groups.noteGivenUp();
  }

  addState(side: Exclude<Role, "keeper">, state: StreamState): void {
    const accounts = this.#of(state.stream);
    const account = accounts.waiting.get(state.index) ?? {
      state: null,
      source: null,
      destination: null,
    };
    account[side] = stateJson(state);
    account.state ??= state;
    accounts.waiting.set(state.index, account);
    this.#schedule();
  }

  #of(stream: number): StreamAccounts {
    let accounts = this.#streams.get(stream);
    if (!accounts) {
      accounts = { waiting: new Map(), durable: new Map(), rowsRecorded: 0 };
      this.#streams.set(stream, accounts);
    }
    return accounts;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      try {
        this.flush();
      } catch (error) {
        this.#onFault(error);
      }
    });
  }

  /** Writes down all that is complete. @throws ExtractError CHECKPOINT_MISMATCH, LEDGER_FENCED */
  flush(): void {
    const reports = this.#reports;
    this.#reports = [];
    const recorded: { stream: number; index: number }[] = [];
    let logged: LoggedGroup | null = null;
    this.#ledger.fenced(this.#runId, this.#epoch, () => {
      for (const report of reports) {
        this.#ledger.recordDurable(this.#runId, this.#epoch, report);
        this.#of(report.stream).durable.set(report.index, report.rows);
      }
      for (const [stream, accounts] of this.#streams) {
        for (const index of [...accounts.waiting.keys()].toSorted(
          (a, b) => a - b,
        )) {
          if (!this.#record(accounts, index)) break;
          recorded.push({ stream, index });
          this.#groups.noteRecorded(stream, index);
          this.#sourceGroups.noteRecorded(stream, index);
        }
      }
      logged = this.#groups.record();
    });
    for (const { stream, index } of recorded) this.#onRecorded(stream, index);
    if (logged) this.#onLogged(logged);
    const states = this.#sourceGroups.take();
    if (states.length > 0) this.#onSourceStates(states);
  }

  #record(accounts: StreamAccounts, index: number): boolean {
    const account = accounts.waiting.get(index);
    if (
      !account?.state ||
      account.source === null ||
      account.destination === null
    )
      return false;
    const covered = [...accounts.durable].filter(([one]) => one <= index);
    const rows =
      accounts.rowsRecorded +
      covered.reduce((sum, [, count]) => sum + count, 0);
    // the report of a checkpoint comes by another pipe than the state that covers it
    if (!accounts.durable.has(index) || rows < account.state.rows) return false;
    this.#ledger.recordReleased(
      this.#runId,
      this.#epoch,
      account.state,
      account.source,
      account.destination,
    );
    for (const [one] of covered) accounts.durable.delete(one);
    accounts.rowsRecorded = rows;
    accounts.waiting.delete(index);
    return true;
  }
}
