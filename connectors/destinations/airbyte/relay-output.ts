/** The output of a channel that has none of its own: its bytes go out by the one that has. */
import type { WireError } from "../../../proto/error.ts";
import { ExtractError, fromWireError } from "../../../proto/error.ts";
import type { LanePeer } from "./lane.ts";
import type { RecordOutput } from "../../airbyte/message-output.ts";

export class RelayOutput implements RecordOutput {
  readonly #channel: number;
  readonly #post: (message: LanePeer) => void;
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  #next = 1;

  constructor(channel: number, post: (message: LanePeer) => void) {
    this.#channel = channel;
    this.#post = post;
  }

  async write(pieces: readonly Uint8Array[]): Promise<void> {
    const id = this.#next++;
    const written = Promise.withResolvers<void>();
    this.#waiting.set(id, written);
    // a copy: whoever lends the pieces waits for the answer all the same
    this.#post({
      type: "relay",
      channel: this.#channel,
      id,
      bytes: Buffer.concat(pieces),
    });
    await written.promise;
  }

  noteWritten(id: number, error: WireError | null): void {
    const written = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === null) written?.resolve();
    else written?.reject(fromWireError(error));
  }

  async end(): Promise<void> {
    await Promise.all(
      [...this.#waiting.values()].map(({ promise }) => promise),
    );
  }

  destroy(): void {
    for (const { reject } of this.#waiting.values())
      reject(new ExtractError("CHANNEL_BROKEN", "the output is given up", {}));
    this.#waiting.clear();
  }
}
