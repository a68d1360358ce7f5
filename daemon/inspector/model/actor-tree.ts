/** The actors of one run, of all its processes and threads, as their records tell of them. */
import { chartKey, statePath } from "./names.ts";
import type { ModelRecord } from "./records.ts";

/** Actors that are kept, living and over; behind this the oldest that are over go first. */
export const ACTORS_MAX = 25_000;
/** Different transitions that are kept of one actor. */
const TRANSITIONS_MAX = 64;

export interface ActorView {
  /** Unique in the run: process, thread and session id. */
  readonly key: string;
  readonly process: string;
  readonly thread: number;
  readonly session: string;
  readonly name: string;
  readonly machine: string;
  /** Names its definition. */
  readonly chart: string;
  readonly parent: string | null;
  /** Empty before the first one is told. */
  state: string;
  /** When it came into that state, or into being. */
  since: number;
  bornAt: number;
  events: number;
  lastEvent: string;
  lastFrom: string | null;
  lastAt: number;
  isOver: boolean;
  error: string | null;
  /** How often each transition was taken, by `transitionKey`. */
  took: Record<string, number>;
  /** The event that no state has followed yet. */
  pending: string;
}

function actorKey(process: string, thread: number, session: string): string {
  return `${process}/${thread}/${session}`;
}

/**
 * A transition: from a state, by an event, to a state. The event is empty where none was told, as with delays that are
 * not recorded; the state is empty where the actor began.
 */
export function transitionKey(from: string, event: string, to: string): string {
  return `${from}\n${event}\n${to}`;
}

export class ActorTree {
  readonly actors = new Map<string, ActorView>();
  /** By process, thread and name: the one that lives, or lived last. */
  readonly #named = new Map<string, string>();
  /** Actors that there was no room for. */
  forgotten = 0;

  static from(views: readonly ActorView[], forgotten: number): ActorTree {
    const tree = new ActorTree();
    tree.forgotten = forgotten;
    for (const view of views) {
      tree.actors.set(view.key, { ...view, took: { ...view.took } });
      tree.#named.set(placeOf(view), view.key);
    }
    return tree;
  }

  /** The actor that the record is of; null for a record of none, or where there is no room for one more. */
  apply(record: ModelRecord): ActorView | null {
    if (record.actor === "") return null;
    const key = actorKey(record.process, record.thread, record.actor);
    const known = this.actors.get(key);
    const actor =
      known === undefined || record.kind === "actor"
        ? this.#add(key, record, known)
        : known;
    if (actor === null) return null;
    actor.lastAt = record.at;
    switch (record.kind) {
      case "event":
        actor.events += 1;
        actor.lastEvent = actor.pending = record.event ?? "";
        actor.lastFrom =
          record.from === undefined
            ? null
            : actorKey(record.process, record.thread, record.from);
        break;
      case "state":
        enter(actor, statePath(record.state ?? ""), record.at);
        break;
      case "stopped":
        actor.isOver = true;
        actor.error = record.error ?? null;
        // a machine's last state says more than that it is over
        if (actor.state === "" || actor.state === "active")
          enter(actor, record.state ?? "stopped", record.at);
        break;
      default:
        break;
    }
    return actor;
  }

  #add(
    key: string,
    record: ModelRecord,
    known: ActorView | undefined,
  ): ActorView | null {
    const { process, thread, machine, at } = record;
    // session ids begin anew with each attempt's processes: with a root that comes again, all that were there have gone
    if (known !== undefined && record.parent === undefined)
      this.#end(process, thread);
    const actor: ActorView = {
      key,
      process,
      thread,
      session: record.actor,
      name: record.parent === undefined ? machine : (record.name ?? machine),
      machine,
      chart: chartKey(process, machine),
      parent:
        record.parent === undefined
          ? null
          : actorKey(process, thread, record.parent),
      state: "",
      since: at,
      bornAt: at,
      events: 0,
      lastEvent: "",
      lastFrom: null,
      lastAt: at,
      isOver: false,
      error: null,
      took: {},
      pending: "",
    };
    const place = placeOf(actor);
    const earlier = this.actors.get(this.#named.get(place) ?? "");
    // the same place taken anew, such as one promise after the other: the counts go on, and it has one line
    if (earlier?.isOver === true) {
      actor.events = earlier.events;
      actor.took = earlier.took;
      this.actors.delete(earlier.key);
    }
    if (!this.actors.has(key) && this.actors.size >= ACTORS_MAX) {
      this.forgotten += 1;
      const oldest = this.#oldestOver();
      if (oldest === null) return null;
      this.actors.delete(oldest.key);
      this.#named.delete(placeOf(oldest));
    }
    this.actors.delete(key);
    this.actors.set(key, actor);
    this.#named.set(place, key);
    return actor;
  }

  /** A main thread takes the others of its process with it. */
  #end(process: string, thread: number): void {
    for (const actor of this.actors.values())
      if (
        actor.process === process &&
        (thread === 0 || actor.thread === thread)
      )
        actor.isOver = true;
  }

  #oldestOver(): ActorView | null {
    for (const actor of this.actors.values()) if (actor.isOver) return actor;
    return null;
  }
}

function enter(actor: ActorView, state: string, at: number): void {
  if (state === actor.state) return;
  const transition = transitionKey(actor.state, actor.pending, state);
  const taken = actor.took[transition];
  if (taken !== undefined) actor.took[transition] = taken + 1;
  else if (Object.keys(actor.took).length < TRANSITIONS_MAX)
    actor.took[transition] = 1;
  actor.pending = "";
  actor.state = state;
  actor.since = at;
}

function placeOf(actor: ActorView): string {
  return `${actor.process}/${actor.thread}/${actor.parent ?? ""}/${actor.name}`;
}
