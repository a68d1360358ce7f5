/** What a read says beside rows, until it goes out with the next messages of a stream; and where it goes. */
import { describeLog } from "./stdout.ts";

export class WaitingMessages {
  readonly #onMessage: ((message: string) => void) | null;
  #waiting: string[] = [];

  /** @param onMessage takes each message as it is handed out; null: it goes with the rows, and nowhere else */
  constructor(onMessage: ((message: string) => void) | null) {
    this.#onMessage = onMessage;
  }

  add(message: string): void {
    this.#waiting.push(message);
  }

  /** For people: by stdout alone. */
  warn(message: string): void {
    const log = describeLog("WARN", message);
    if (this.#onMessage) this.#onMessage(log);
    else this.add(log);
  }

  /** What nothing came behind. */
  take(): readonly string[] {
    const rest = this.#waiting;
    this.#waiting = [];
    return rest;
  }

  /** What waits, and behind it these. */
  tell(messages: readonly string[]): readonly string[] {
    const all = [...this.take(), ...messages];
    if (this.#onMessage) for (const message of all) this.#onMessage(message);
    return all;
  }
}
