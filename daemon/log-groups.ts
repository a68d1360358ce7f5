/**
 * The checkpoints of the log over all streams: one counts once the states of its members are recorded, in order, and in
 * the transaction that records the last of them. A stream that fails holds the log where it is, since its changes have to
 * come again; not one that was still being copied, which is copied anew.
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
  #isHeld = false;
  /** Streams whose checkpoints are not waited for. */
  readonly #left = new Set<number>();
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

  /**
   * What is durable of the others stays theirs.
   * @param isHeld the log is read again from where it stands; else it goes on without the stream
   */
  noteFailed(stream: number, isHeld: boolean): void {
    if (isHeld) this.#isHeld = true;
    else this.#left.add(stream);
  }

  /** The source may have told of more before it hears that. */
  noteGivenUp(): void {
    this.#isGivenUp = true;
  }

  /**
   * Within the transaction that has recorded the states: moves the log behind the groups whose members all are.
   * @returns the last of these, with the members of all; null: none
   */
  record(): Group | null {
    if (this.#isGivenUp || this.#isHeld) return null;
    const isDone = ({ members }: Group) =>
      members.every(
        ({ stream, index }) =>
          this.#left.has(stream) || (this.#recorded.get(stream) ?? 0) >= index,
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
    const members = new Map(
      done
        .flatMap((group) => group.members)
        .filter(({ stream }) => !this.#left.has(stream))
        .map((member) => [member.stream, member]),
    );
    return { ...last, members: [...members.values()] };
  }
}
