/** Who listens to a daemon. What one listener throws is told to the log, and costs no other its news. */
import type { InspectionRecord } from "../../proto/control.ts";
import type { DaemonEvent, InspectionListener } from "./types.ts";

/** Inspection records as they come: JSON, each closed by a newline. */
type LinesListener = (runId: string, lines: string) => void;

/** Without what the daemon adds. */
export type News = DaemonEvent extends infer T
  ? T extends unknown
    ? Omit<T, "sequence" | "at">
    : never
  : never;

export class Telling {
  readonly #onTrouble: (message: string) => void;
  readonly #listeners = new Set<(event: DaemonEvent) => void>();
  readonly #inspectors = new Set<LinesListener>();
  #sequence = 0;

  constructor(onTrouble: (message: string) => void) {
    this.#onTrouble = onTrouble;
  }

  get isInspected(): boolean {
    return this.#inspectors.size > 0;
  }

  subscribe(listener: (event: DaemonEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  inspect(listener: InspectionListener): () => void {
    return this.inspectLines((runId, lines) => {
      const records = lines
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as InspectionRecord);
      listener(runId, records);
    });
  }

  inspectLines(listener: LinesListener): () => void {
    this.#inspectors.add(listener);
    return () => this.#inspectors.delete(listener);
  }

  tellInspected(runId: string, lines: string): void {
    for (const listener of this.#inspectors)
      this.guard("an inspector", () => listener(runId, lines));
  }

  tell(news: News): void {
    const event = {
      sequence: ++this.#sequence,
      at: Date.now(),
      ...news,
    } as DaemonEvent;
    for (const listener of this.#listeners)
      this.guard("a subscriber", () => listener(event));
  }

  /** What goes wrong in one part is told, and ends no other. */
  guard(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.trouble(what, error);
    }
  }

  trouble(what: string, error: unknown): void {
    const words = error instanceof Error ? error.message : String(error);
    this.#onTrouble(`${what}: ${words}`);
  }
}
