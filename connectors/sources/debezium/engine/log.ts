/** What the engine's libraries say on stderr, as entries for our own log. */
export interface EngineLogEntry {
  readonly level: "debug" | "info" | "warn" | "error";
  /** The class that speaks. */
  readonly logger: string;
  /** With what follows on further lines, as a stack does. */
  readonly message: string;
}

/** Longest entry, in characters; the rest of it is left out. */
const ENTRY_CHARS_MAX = 8_192;

/** @see SimpleLogger of slf4j, with levelInBrackets and without date, time and thread */
const entryHead = /^\[(TRACE|DEBUG|INFO|WARN|ERROR)\] (\S{1,300}) - (.*)$/s;

const levels = {
  TRACE: "debug",
  DEBUG: "debug",
  INFO: "info",
  WARN: "warn",
  ERROR: "error",
} as const;

/** Joins lines to entries. An entry is complete when the next begins, or at `end`. */
export class LogReader {
  readonly #onEntry: (entry: EngineLogEntry) => void;
  #rest = "";
  #entry: EngineLogEntry | null = null;

  constructor(onEntry: (entry: EngineLogEntry) => void) {
    this.#onEntry = onEntry;
  }

  push(text: string): void {
    const lines = (this.#rest + text).split("\n");
    // a line without an end takes no more than an entry
    this.#rest = (lines.pop() ?? "").slice(0, ENTRY_CHARS_MAX);
    for (const line of lines) this.#pushLine(line);
  }

  end(): void {
    if (this.#rest !== "") this.#pushLine(this.#rest);
    this.#rest = "";
    this.#flush();
  }

  #pushLine(line: string): void {
    const match = entryHead.exec(line);
    if (match === null && this.#entry !== null) {
      const { message } = this.#entry;
      if (message.length < ENTRY_CHARS_MAX)
        this.#entry = {
          ...this.#entry,
          message: `${message}\n${line}`.slice(0, ENTRY_CHARS_MAX),
        };
      return;
    }
    this.#flush();
    // what is no entry comes from the JVM itself
    const [, level = "WARN", logger = "java", message = line] = match ?? [];
    this.#entry = {
      level: levels[level as keyof typeof levels],
      logger,
      message: message.slice(0, ENTRY_CHARS_MAX),
    };
  }

  #flush(): void {
    if (this.#entry !== null) this.#onEntry(this.#entry);
    this.#entry = null;
  }
}
