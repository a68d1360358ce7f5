/**
 * A channel's part in an output that several channels of one attempt share: the first one has it, and the others hand
 * their bytes to that one. Where states say by their place what they cover, the channels take turns as well.
 */
import { toWireError } from "../../../proto/error.ts";
import type { LanePeer } from "./lane.ts";
import type { RecordOutput } from "../../airbyte/message-output.ts";
import { RelayOutput } from "./relay-output.ts";
import { Turns } from "./turns.ts";

/** Has the output of all channels. */
const OWNER = 1;

export interface SharedOutputOptions {
  readonly channel: number;
  readonly takesTurns: boolean;
  post(message: LanePeer): void;
  /** Of the channel that has it. */
  output(): Promise<RecordOutput>;
}

export class SharedOutput {
  readonly #options: SharedOutputOptions;
  /** Null: the output is this channel's own. */
  readonly relay: RelayOutput | null;
  /** Null: another channel keeps them, or nobody takes turns. */
  readonly #turns: Turns | null;
  /** Of this channel; null: it has none, and has not asked. Resolved: it has one. */
  #turn: PromiseWithResolvers<void> | null = null;
  /** It has one that nothing more is written in. */
  #hasLeft = false;
  /** Channels that have no output of their own, and are at work. */
  readonly #others = new Set<number>();
  #othersEnded: (() => void) | null = null;

  constructor(options: SharedOutputOptions) {
    const { channel, takesTurns } = options;
    this.#options = options;
    this.relay =
      channel === OWNER
        ? null
        : new RelayOutput(channel, (message) => options.post(message));
    this.#turns =
      channel === OWNER && takesTurns
        ? new Turns((one) => this.#giveTurn(one))
        : null;
  }

  /** Resolves when this channel's rows may leave; at once where nobody takes turns. */
  async takeTurn(): Promise<void> {
    const { channel, takesTurns, post } = this.#options;
    if (!takesTurns) return;
    if (!this.#turn) {
      this.#turn = Promise.withResolvers();
      if (this.#turns) this.#turns.want(channel);
      else post({ type: "turn.want", channel });
    }
    await this.#turn.promise;
  }

  /** Rows that come from now on are of the next turn: the state of those before is still to come. */
  leaveTurn(): void {
    this.#turn = null;
    this.#hasLeft = true;
  }

  /**
   * All that was written in this channel's turn has its state.
   * @param isEntered somebody has come into the turn and is about to write
   */
  finishTurn(isEntered: boolean): void {
    if (!this.#hasLeft && isEntered) return;
    if (!this.#hasLeft) this.#turn = null;
    this.#hasLeft = false;
    this.endTurn();
  }

  /** The state of what the holder of the turn has written is in front of all that follows. */
  endTurn(): void {
    const { takesTurns, post } = this.#options;
    if (this.#turns) this.#turns.endTurn();
    else if (takesTurns) post({ type: "turn.end" });
  }

  noteReady(channel: number): void {
    if (!this.relay) this.#others.add(channel);
  }

  noteEnded(channel: number): void {
    this.#others.delete(channel);
    if (this.#others.size === 0) this.#othersEnded?.();
  }

  /** Resolves when nobody else has bytes for this channel's output: whoever has it is the last to go. */
  async awaitOthers(): Promise<void> {
    if (this.#others.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#othersEnded = resolve;
    await promise;
  }

  hear(message: LanePeer): void {
    switch (message.type) {
      case "turn.want":
        this.#turns?.want(message.channel);
        return;
      case "turn.have":
        if (message.channel === this.#options.channel) this.#turn?.resolve();
        return;
      case "turn.end":
        this.#turns?.endTurn();
        return;
      case "relay":
        if (!this.relay) void this.#relayFor(message);
        return;
      case "relayed":
        if (message.channel === this.#options.channel)
          this.relay?.noteWritten(message.id, message.error);
        return;
    }
  }

  #giveTurn(channel: number): void {
    if (channel === this.#options.channel) this.#turn?.resolve();
    else this.#options.post({ type: "turn.have", channel });
  }

  async #relayFor({
    channel,
    id,
    bytes,
  }: Extract<LanePeer, { type: "relay" }>): Promise<void> {
    const { output, post } = this.#options;
    let failure: unknown = null;
    try {
      await (await output()).write([bytes]);
    } catch (cause) {
      failure = cause;
    }
    const error = failure === null ? null : toWireError(failure);
    post({ type: "relayed", channel, id, error });
  }
}
