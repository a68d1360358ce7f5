/**
 * Between the destination's main thread, which has the connector and decides, and the threads of its channels, which have
 * the bytes: one broadcast channel of this process for each attempt.
 */
import { BroadcastChannel } from "node:worker_threads";
import type { WireError } from "../../../proto/error.ts";

/** What the main thread tells the channels. */
export type LaneOrder =
  /** Who is there? */
  | { readonly type: "call" }
  /** Messages of the protocol, behind what the channel has written before. Answered by `wrote`. */
  | {
      readonly type: "write";
      readonly channel: number;
      readonly id: number;
      readonly messages: readonly string[];
      /** The checkpoint whose state is among them. */
      readonly state: {
        readonly stream: number;
        readonly index: number;
      } | null;
    }
  /** The checkpoint's rows are durable. */
  | {
      readonly type: "durable";
      readonly stream: number;
      readonly index: number;
    }
  /** No row follows: the outputs end, so that the connector finishes. */
  | { readonly type: "end" }
  /** The run stops early: outputs that carry no rows end. */
  | { readonly type: "endIdle" }
  /** The connector has gone: nothing becomes durable any more. */
  | { readonly type: "gone" }
  /** The connector has failed. */
  | { readonly type: "fault"; readonly error: WireError };

/** A checkpoint's rows, and its state where the channel writes it, have left. */
export interface WrittenCheckpoint {
  readonly stream: number;
  readonly partition: number;
  readonly index: number;
  readonly last: boolean;
  readonly rows: number;
}

/** What the channels tell. */
export type LaneFact =
  /** It listens, or needs not to. */
  | { readonly type: "ready"; readonly channel: number }
  | { readonly type: "connected"; readonly channel: number }
  | ({ readonly type: "written"; readonly channel: number } & WrittenCheckpoint)
  | { readonly type: "wrote"; readonly id: number }
  /** Nothing can be written any more. */
  | {
      readonly type: "failed";
      readonly channel: number;
      readonly error: WireError;
    }
  | { readonly type: "ended"; readonly channel: number };

/** Between channels, where one of them has the output of all. */
export type LanePeer =
  /** It has rows to write. */
  | { readonly type: "turn.want"; readonly channel: number }
  | { readonly type: "turn.have"; readonly channel: number }
  /** The state of all that it has written is on its way, and told of. */
  | { readonly type: "turn.end" }
  /** Bytes to be written for it. Answered by `relayed`. */
  | {
      readonly type: "relay";
      readonly channel: number;
      readonly id: number;
      readonly bytes: Uint8Array;
    }
  | {
      readonly type: "relayed";
      readonly channel: number;
      readonly id: number;
      readonly error: WireError | null;
    };

type LaneMessage = LaneOrder | LaneFact | LanePeer;

export class Lane<In extends LaneMessage, Out extends LaneMessage> {
  readonly #channel: BroadcastChannel;
  #isClosed = false;

  /** @param name of the attempt: nobody else's */
  constructor(name: string, onMessage: (message: In) => void) {
    this.#channel = new BroadcastChannel(`millrace-airbyte:${name}`);
    this.#channel.onmessage = (event) => {
      const { data } = event as { readonly data: In };
      if (!this.#isClosed) onMessage(data);
    };
    // what else the thread has to do keeps it
    this.#channel.unref();
  }

  post(message: Out): void {
    if (!this.#isClosed) this.#channel.postMessage(message);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#channel.close();
  }
}
