/** Groups of checkpoints, told in their order once their indexes are known. */
import type { MessageLanes, Member } from "./message-lanes.ts";
import type { StateGroup } from "./message-streams.ts";

/** Groups whose indexes are not known yet. */
const GROUPS_AHEAD_MAX = 64;

export class StateGroups {
  readonly #lanes: MessageLanes;
  readonly #onGroup: (group: StateGroup) => void;
  #group = 0;
  #groupsAhead = 0;
  #telling: Promise<void> = Promise.resolve();
  #isHurried = false;
  readonly #hurried = Promise.withResolvers<void>();

  constructor(lanes: MessageLanes, onGroup: (group: StateGroup) => void) {
    this.#lanes = lanes;
    this.#onGroup = onGroup;
  }

  /** Resolves when the next group is told. */
  hurry(): Promise<void> {
    this.#isHurried = true;
    return this.#hurried.promise;
  }

  get isHurried(): boolean {
    return this.#isHurried;
  }

  /** All that was to be told by now is. */
  get told(): Promise<void> {
    return this.#telling;
  }

  /** Tells of a group once its members have their indexes; the next state may be read meanwhile, up to a bound. */
  async tell(
    group: Omit<StateGroup, "group" | "members">,
    members: readonly Member[],
  ): Promise<void> {
    const number = ++this.#group;
    this.#groupsAhead += 1;
    this.#telling = this.#telling.then(async () => {
      const known = await Promise.all(
        members.map(async ({ stream, index }) => ({
          stream,
          index: await index,
        })),
      );
      this.#groupsAhead -= 1;
      this.#onGroup({
        ...group,
        group: number,
        members: known,
      });
    });
    this.#telling.catch((error: unknown) => this.#lanes.fail(error));
    if (this.#isHurried) {
      await this.#telling;
      this.#hurried.resolve();
    } else if (this.#groupsAhead > GROUPS_AHEAD_MAX) await this.#telling;
  }
}
