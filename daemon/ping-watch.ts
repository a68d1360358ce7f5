/** Pings the children's main threads: a process that is stopped or stuck is named within the probe deadline. */
import type { Role } from "../actors/run/run.machine.ts";
import type { Child } from "./processes.ts";

const PINGS_PER_DEADLINE = 4;

export class PingWatch {
  readonly #deadlineMs: number;
  readonly #onSilent: (role: Role, deadlineMs: number) => void;
  readonly #children = new Map<Role, { child: Child; unanswered: number }>();
  readonly #timer: NodeJS.Timeout;
  #id = 0;

  constructor(
    deadlineMs: number,
    onSilent: (role: Role, deadlineMs: number) => void,
  ) {
    this.#deadlineMs = deadlineMs;
    this.#onSilent = onSilent;
    // counted in our own ticks: when this process was stopped itself, nobody else is to blame
    this.#timer = setInterval(
      () => this.#tick(),
      deadlineMs / PINGS_PER_DEADLINE,
    );
  }

  add(role: Role, child: Child): void {
    this.#children.set(role, { child, unanswered: 0 });
  }

  remove(role: Role): void {
    this.#children.delete(role);
  }

  answer(role: Role): void {
    const watched = this.#children.get(role);
    if (watched) watched.unanswered = 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    this.#id += 1;
    for (const [role, watched] of this.#children) {
      if (watched.unanswered >= PINGS_PER_DEADLINE) {
        this.#children.delete(role);
        this.#onSilent(role, this.#deadlineMs);
        continue;
      }
      watched.unanswered += 1;
      watched.child.send({ type: "ping", id: this.#id } as { type: string });
    }
  }
}
