/** The connections of an open source: all see its snapshot, and each serves one reading at a time. */
import type {
  SnapshotRef,
  SourceDriver,
  SourceSession,
} from "../connectors/sources/source.ts";
import { ExtractError } from "../proto/error.ts";

export class Sessions {
  readonly #driver: SourceDriver;
  readonly #url: string;
  readonly #ref: SnapshotRef;
  readonly #max: number;
  readonly #idle: SourceSession[] = [];
  /** Their transaction may have failed with the statement that was cut off. */
  readonly #cut = new WeakSet<SourceSession>();
  readonly #all = new Set<SourceSession>();
  #opening = 0;
  /** Why nobody is served any more. */
  #closed: Error | null = null;

  constructor(
    driver: SourceDriver,
    url: string,
    ref: SnapshotRef,
    connectionsMax: number,
  ) {
    this.#driver = driver;
    this.#url = url;
    this.#ref = ref;
    this.#max = connectionsMax;
  }

  /** All that may ever join do so now, where they can join only at the start. */
  async open(): Promise<void> {
    const count = this.#driver.joins === "at-the-start" ? this.#max : 1;
    const opened = await Promise.allSettled(
      Array.from({ length: count }, () => this.#connect()),
    );
    const failed = opened.find((one) => one.status === "rejected");
    if (failed) throw failed.reason;
    for (const one of opened)
      if (one.status === "fulfilled") this.#idle.push(one.value);
  }

  /**
   * @throws ExtractError USAGE where all are busy: to wait could be for ever, since whoever has them may wait for this
   *   one; SOURCE_SNAPSHOT_LOST where none is left that sees the snapshot
   */
  async take(): Promise<SourceSession> {
    this.#assertOpen();
    for (let session = this.#idle.pop(); session; session = this.#idle.pop()) {
      if (await this.#isReady(session)) return session;
      this.#forget(session);
      this.#assertOpen();
    }
    if (this.#driver.joins === "any-time") {
      if (this.#all.size + this.#opening < this.#max) return this.#connect();
    } else if (this.#all.size === 0)
      throw new ExtractError(
        "SOURCE_SNAPSHOT_LOST",
        "no connection is left that sees the snapshot of this source: open it again",
      );
    throw new ExtractError(
      "USAGE",
      `${this.#max} tables of this source are being read, and it has no more connections: read one after the other, or open it with more \`connections\``,
      { connections: this.#max },
    );
  }

  /** @param isWhole all that it was asked for has been read */
  give(session: SourceSession, isWhole: boolean): void {
    if (!isWhole) this.#cut.add(session);
    if (session.usable && this.#closed === null) this.#idle.push(session);
    else this.#forget(session);
  }

  async close(reason: Error): Promise<void> {
    this.#closed ??= reason;
    const idle = new Set(this.#idle.splice(0));
    const sessions = [...this.#all];
    this.#all.clear();
    await Promise.all(
      sessions.map(async (session) => {
        if (idle.has(session)) await session.close().catch(() => {});
        session.destroy();
      }),
    );
  }

  /** Where the snapshot can be joined at any time it is joined anew; elsewhere a statement's end leaves the transaction. */
  async #isReady(session: SourceSession): Promise<boolean> {
    if (!session.usable) return false;
    if (this.#driver.joins !== "any-time" || !this.#cut.delete(session))
      return true;
    await session.beginSnapshot(this.#ref);
    return session.usable && this.#closed === null;
  }

  #forget(session: SourceSession): void {
    this.#all.delete(session);
    session.destroy();
  }

  #assertOpen(): void {
    if (this.#closed !== null) throw this.#closed;
  }

  async #connect(): Promise<SourceSession> {
    this.#opening += 1;
    try {
      const session = await this.#driver.connect(this.#url);
      this.#all.add(session);
      try {
        this.#assertOpen();
        await session.beginSnapshot(this.#ref);
        this.#assertOpen();
      } catch (error) {
        this.#forget(session);
        throw error;
      }
      return session;
    } finally {
      this.#opening -= 1;
    }
  }
}
