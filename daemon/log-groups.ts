/**
 * The checkpoints of the log over all streams: one counts once the states of its members are recorded, in order, and in
 * the transaction that records the last of them. A stream that fails holds the log where it is: its changes come again.
 */
import { strict as assert } from "node:assert";
import type { Ledger } from "../checkpoint/store/ledger.ts";
import type { SourceFact } from "../proto/control.ts";

type Group = Extract<SourceFact, { type: "log.checkpoint" }>;

/** Groups that wait for their rows to be durable: the channel's back-pressure ends long before. */
const GROUPS_WAITING_MAX = 100_000;

export class LogGroups {
  readonly #ledger: Ledger;
  readonly #runId: string;
  readonly #epoch: number;
  readonly #recorded = new Map<number, number>();
  readonly #failed = new Set<number>();
  #isGivenUp = false;
  #waiting: Group[] = [];
  #group = 0;

  constructor(place: {
    readonly ledger: Ledger;
    readonly runId: string;
    readonly epoch: number;
  }) {
    this.#ledger = place.ledger;
    this.#runId = place.runId;
    this.#epoch = place.epoch;
  }

  add(group: Group): void {
    assert(group.group === this.#group + 1, "groups come one by one");
    assert(this.#waiting.length < GROUPS_WAITING_MAX, "too many groups");
    this.#group = group.group;
    this.#waiting.push(group);
  }

  noteRecorded(stream: number, index: number): void {
    this.#recorded.set(stream, index);
  }

  /** What is durable of the others stays theirs; the log is read again from where it stands. */
  noteFailed(stream: number): void {
    this.#failed.add(stream);
  }

  /** The source may have told of more before it hears that. */
  noteGivenUp(): void {
    this.#isGivenUp = true;
  }

  /**
   * Within the transaction that has recorded the states: moves the log behind the groups whose members all are.
   * @returns the last of these; null: none
   */
  record(): Group | null {
    if (this.#isGivenUp || this.#failed.size > 0) return null;
    const isDone = ({ members }: Group) =>
      members.every(
        ({ stream, index }) => (this.#recorded.get(stream) ?? 0) >= index,
      );
    const open = this.#waiting.findIndex((group) => !isDone(group));
    const done = open < 0 ? this.#waiting : this.#waiting.slice(0, open);
    const last = done.at(-1);
    if (!last) return null;
    this.#waiting = this.#waiting.slice(done.length);
    this.#ledger.advanceLog(this.#runId, this.#epoch, {
      position: last.position,
      offset: done.findLast(({ offset }) => offset !== null)?.offset ?? null,
      history:
        done.findLast(({ history }) => history !== null)?.history ?? null,
    });
    return last;
  }
}
