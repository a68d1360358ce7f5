/** One connection for a question now and then, over which nothing else is asked; made anew where it fails. */
import { strict as assert } from "node:assert";

interface Connection {
  close(): Promise<void>;
  destroy(): void;
}

export class KeptConnection<C extends Connection> {
  readonly #connect: () => Promise<C>;
  #connection: C | null = null;
  /** It has been asked and has not answered. */
  #isAsked = false;
  #isClosed = false;

  constructor(connect: () => Promise<C>) {
    this.#connect = connect;
  }

  /** Over the connection of the last time, unless that has failed, or not answered to this day. */
  async ask<T>(question: (connection: C) => Promise<T>): Promise<T> {
    if (this.#isAsked) this.#leave(this.#connection);
    this.#isAsked = true;
    const connection = this.#connection ?? (await this.#connect());
    this.#connection ??= connection;
    try {
      // nobody would close it
      assert(!this.#isClosed, "it is closed, and nothing is asked any more");
      return await question(connection);
    } catch (error) {
      this.#leave(connection);
      throw error;
    } finally {
      if (this.#connection === connection || this.#connection === null)
        this.#isAsked = false;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const connection = this.#connection;
    this.#connection = null;
    if (this.#isAsked) connection?.destroy();
    else await connection?.close();
  }

  #leave(connection: C | null): void {
    connection?.destroy();
    if (this.#connection === connection) this.#connection = null;
  }
}
