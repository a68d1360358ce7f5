/**
 * A thread that is shared by the sources, destinations and keepers of many small runs. What none of them has caught ends
 * the thread, and with it all of them, as it would end a process.
 */
import { strict as assert } from "node:assert";
import { setPriority } from "node:os";
import { setImmediate as nextTurn } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { ExtractError } from "../../proto/error.ts";
import { startThread, type ControlPipe } from "../child.ts";
import { startDestinationChannel } from "../destination/channel-worker.ts";
import {
  startDestination,
  type StartDestinationThread,
} from "../destination/process.ts";
import { startKeeper } from "../keeper/process.ts";
import { startSourceChannel } from "../source/channel-worker.ts";
import { startSource } from "../source/process.ts";
import type { StartSourceThread } from "../source/threads.ts";
import type { Hosted, Surroundings } from "../surroundings.ts";
import { hostChannel } from "./channel-thread.ts";
import type {
  InlineFact,
  InlineOrder,
  InlineRole,
  InlineThreadData,
} from "./messages.ts";

/** Characters that the bookkeeper has not read, above which those that can be left out are. */
const OFFERS_UNREAD_MAX = 4 * 1024 * 1024;
/** As much as a process may leave unread in its pipe. */
const FACTS_UNREAD_MAX = 64 * 1024 * 1024;

/** Of this thread; see nice(2). The bookkeeper's loop, and with it the API, goes before: it has little to do each time. */
const NICE = 5;

const { ownChannels = false } = (workerData ?? {}) as InlineThreadData;

// elsewhere it would be the whole process's
if (process.platform === "linux" && !ownChannels) setPriority(NICE);

function channelScript(role: "source" | "destination"): URL {
  return new URL(
    `../${role}/worker${import.meta.url.slice(-3)}`,
    import.meta.url,
  );
}

const startSourceThread: StartSourceThread = (data, events) =>
  ownChannels
    ? startThread(
        channelScript("source"),
        { name: `source-${data.channel}`, workerData: data },
        events,
      )
    : hostChannel((port) => startSourceChannel(port, data), events);
const startDestinationThread: StartDestinationThread = (data, events) =>
  ownChannels
    ? startThread(
        channelScript("destination"),
        { name: `destination-${data.channel}`, workerData: data },
        events,
      )
    : hostChannel((port) => startDestinationChannel(port, data), events);

type AnyOrder = { readonly type: string };

const children = new Map<number, InlineChild>();
let unread = 0;

function post(fact: InlineFact): void {
  if (fact.type !== "exited") unread += fact.text.length;
  parentPort?.postMessage(fact);
}

class InlineChild {
  readonly outlivesBookkeeper = false;
  readonly #id: number;
  readonly #hosted: Hosted;
  readonly #preparations: (() => void)[] = [];
  #onOrder: (order: AnyOrder) => void = () => {};
  #onGone: () => void = () => this.exit(1);
  #isOver = false;

  constructor(id: number, role: InlineRole) {
    this.#id = id;
    this.#hosted = this.#start(role);
  }

  open(
    onOrder: (order: AnyOrder) => void,
    onGone?: () => void,
  ): ControlPipe<unknown> {
    this.#onOrder = onOrder;
    if (onGone) this.#onGone = onGone;
    return {
      send: (fact) => this.#send(fact),
      offer: (lines) => {
        if (this.#isOver || unread > OFFERS_UNREAD_MAX) return false;
        this.#send({ type: "inspected", lines });
        return true;
      },
      beforeFlush: (prepare) => this.#preparations.push(prepare),
      flush: async () => {
        // as a process does: the step that is under way is told as well
        await nextTurn();
        for (const prepare of this.#preparations) prepare();
      },
    };
  }

  writeProtocol(message: object): void {
    const text = JSON.stringify(message);
    if (!this.#isOver) post({ type: "protocol", child: this.#id, text });
  }

  exit(code: number): void {
    if (this.#isOver) return;
    this.#isOver = true;
    void this.#hosted.destroy().then(() => {
      children.delete(this.#id);
      post({ type: "exited", child: this.#id, code });
    });
  }

  follow(text: string): void {
    const order = JSON.parse(text) as AnyOrder & { readonly id?: number };
    if (this.#isOver) return;
    if (order.type === "ping") this.#send({ type: "pong", id: order.id });
    else this.#onOrder(order);
  }

  detach(): void {
    if (!this.#isOver) this.#onGone();
  }

  #start(role: InlineRole): Hosted {
    switch (role) {
      case "source":
        return startSource(this.#as(), startSourceThread);
      case "destination":
        return startDestination(this.#as(), startDestinationThread);
      case "keeper":
        return startKeeper(this.#as());
    }
  }

  /** Orders come as text, of the role's own type as between processes. */
  #as<Order extends AnyOrder, Fact>(): Surroundings<Order, Fact> {
    return {
      outlivesBookkeeper: this.outlivesBookkeeper,
      open: (onOrder, onGone) =>
        this.open(onOrder as (order: AnyOrder) => void, onGone),
      writeProtocol: (message) => this.writeProtocol(message),
      exit: (code) => this.exit(code),
    };
  }

  #send(fact: unknown): void {
    if (this.#isOver) return;
    const text = JSON.stringify(fact);
    assert.ok(text !== undefined, "a fact is a JSON value");
    if (unread + text.length > FACTS_UNREAD_MAX)
      throw new ExtractError(
        "PEER_STALLED",
        "the bookkeeper does not read its control messages",
        { charsQueued: unread },
      );
    post({ type: "fact", child: this.#id, text });
  }
}

parentPort?.on("message", (order: InlineOrder) => {
  if (order.type === "read") {
    unread -= order.chars;
    return;
  }
  if (order.type === "start") {
    children.set(order.child, new InlineChild(order.child, order.role));
    return;
  }
  const child = children.get(order.child);
  if (order.type === "order") child?.follow(order.text);
  else if (order.type === "detach") child?.detach();
  else child?.exit(1);
});
