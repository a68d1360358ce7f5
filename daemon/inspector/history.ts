/**
 * The inspection records of past and present runs, on disk beside the ledger: so much of each run, so much of all, the
 * oldest going first. Writing never holds up a run: what the disk does not take in time is left out, and counted.
 */
import {
  mkdir,
  open,
  readdir,
  stat,
  unlink,
  type FileHandle,
} from "node:fs/promises";
import { join } from "node:path";
import { encodeBlock, HistoryReader } from "./history-file.ts";

export type { HistoryReader };

export interface HistoryLimits {
  /** Of one run's file. */
  readonly runBytesMax: number;
  readonly allBytesMax: number;
  readonly filesMax: number;
  /** Between two looks at all files; what runs have begun meanwhile may be above the limits until then. */
  readonly lookedAtEveryMs: number;
}

export const historyLimits: HistoryLimits = {
  runBytesMax: 32 * 1024 * 1024,
  allBytesMax: 512 * 1024 * 1024,
  filesMax: 5_000,
  lookedAtEveryMs: 10_000,
};

const SUFFIX = ".jsonl.zst";
/** A block is written when it has so many characters, or when it is so old. */
const BLOCK_CHARS = 64 * 1024;
const BLOCK_DELAY_MS = 1_000;
/** Of a run's limit, what is kept for its end: that is where people look. */
const TAIL_SHARE = 0.25;
/** What may wait for the disk. */
const QUEUED_CHARS_MAX = 8 * 1024 * 1024;

/** A run's id as part of a file name. */
const runName = /^[A-Za-z0-9][A-Za-z0-9_-]{0,79}$/;

export interface PastRun {
  readonly runId: string;
  readonly bytes: number;
  /** Milliseconds since the Unix epoch. */
  readonly modifiedAt: number;
}

export class History {
  readonly #folder: string;
  readonly #limits: HistoryLimits;
  readonly #open = new Set<string>();
  #sweeping: Promise<void> | null = null;
  #isFolderMade = false;
  #lookedAt = -Infinity;

  constructor(folder: string, limits: HistoryLimits = historyLimits) {
    this.#folder = folder;
    this.#limits = limits;
  }

  /** Null where the name is none of a run. */
  #path(runId: string): string | null {
    return runName.test(runId) ? join(this.#folder, runId + SUFFIX) : null;
  }

  /** @param onBroken told once, when nothing more of this run can be written */
  write(
    runId: string,
    onBroken: (reason: Error) => void,
  ): HistoryWriter | null {
    const path = this.#path(runId);
    if (path === null) return null;
    this.#open.add(runId);
    return new HistoryWriter({
      path,
      bytesMax: this.#limits.runBytesMax,
      before: () => this.#makeRoom(),
      onBroken,
      onClosed: () => this.#open.delete(runId),
    });
  }

  async read(runId: string): Promise<HistoryReader | null> {
    const path = this.#path(runId);
    return path === null ? null : HistoryReader.open(path);
  }

  /** Newest first. */
  async list(): Promise<PastRun[]> {
    let names: string[];
    try {
      names = await readdir(this.#folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
    const runs: PastRun[] = [];
    for (const name of names) {
      if (!name.endsWith(SUFFIX)) continue;
      const found = await stat(join(this.#folder, name)).catch(() => null);
      if (found?.isFile() === true)
        runs.push({
          runId: name.slice(0, -SUFFIX.length),
          bytes: found.size,
          modifiedAt: found.mtimeMs,
        });
    }
    return runs.sort((a, b) => b.modifiedAt - a.modifiedAt);
  }

  /** Before a file is begun: the folder is there, and the oldest are gone so that one more has room. */
  async #makeRoom(): Promise<void> {
    if (!this.#isFolderMade)
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    this.#isFolderMade = true;
    const now = performance.now();
    if (this.#sweeping) await this.#sweeping;
    else if (now - this.#lookedAt >= this.#limits.lookedAtEveryMs) {
      this.#lookedAt = now;
      this.#sweeping = this.#sweep().finally(() => {
        this.#sweeping = null;
      });
      await this.#sweeping;
    }
  }

  async #sweep(): Promise<void> {
    const runs = await this.list();
    let bytes = runs.reduce((sum, run) => sum + run.bytes, 0);
    let files = runs.length;
    const { runBytesMax, allBytesMax, filesMax } = this.#limits;
    for (const run of runs.reverse()) {
      if (bytes + runBytesMax <= allBytesMax && files < filesMax) return;
      const path = this.#path(run.runId);
      if (path === null || this.#open.has(run.runId)) continue;
      await unlink(path).catch(() => {});
      bytes -= run.bytes;
      files -= 1;
    }
  }
}

interface WriterOptions {
  readonly path: string;
  readonly bytesMax: number;
  before(): Promise<void>;
  onBroken(reason: Error): void;
  onClosed(): void;
}

interface Pending {
  readonly first: number;
  readonly lines: readonly string[];
  readonly chars: number;
}

/** One run's file. A run that is gone on with is added to. */
export class HistoryWriter {
  readonly #options: WriterOptions;
  #lines: string[] = [];
  #chars = 0;
  #first = 0;
  #next = 0;
  #queuedChars = 0;
  #bytes = 0;
  /** Once the head is full: the newest blocks, for the end. */
  #tail: Pending[] = [];
  #tailChars = 0;
  #timer: NodeJS.Timeout | null = null;
  #file: Promise<FileHandle>;
  #last: Promise<void> = Promise.resolve();
  #isBroken = false;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#file = this.#begin();
    this.#file.catch((error: unknown) => this.#break(error));
  }

  async #begin(): Promise<FileHandle> {
    await this.#options.before();
    const file = await open(this.#options.path, "a", 0o600);
    this.#bytes = (await file.stat()).size;
    return file;
  }

  /** @param sequence number of the record in the run */
  add(line: string, sequence: number): void {
    if (this.#isBroken) return;
    if (sequence !== this.#next || this.#lines.length === 0) {
      this.#cut();
      this.#first = sequence;
    }
    this.#next = sequence + 1;
    this.#lines.push(line);
    this.#chars += line.length + 1;
    if (this.#chars >= BLOCK_CHARS) this.#cut();
    else
      this.#timer ??= setTimeout(() => {
        this.#timer = null;
        this.#cut();
      }, BLOCK_DELAY_MS).unref();
  }

  #cut(): void {
    if (this.#lines.length === 0) return;
    const block = {
      first: this.#first,
      lines: this.#lines,
      chars: this.#chars,
    };
    this.#lines = [];
    this.#chars = 0;
    const headBytesMax = this.#options.bytesMax * (1 - TAIL_SHARE);
    if (this.#bytes >= headBytesMax) this.#keepForEnd(block);
    else if (this.#queuedChars + block.chars <= QUEUED_CHARS_MAX)
      this.#write(block);
  }

  /** Text is some ten times as long as what it is compressed to; half of the limit is certain to be enough room. */
  #keepForEnd(block: Pending): void {
    this.#tail.push(block);
    this.#tailChars += block.chars;
    const charsMax = Math.min(
      QUEUED_CHARS_MAX,
      this.#options.bytesMax * TAIL_SHARE,
    );
    while (this.#tailChars > charsMax && this.#tail.length > 1)
      this.#tailChars -= this.#tail.shift()?.chars ?? 0;
  }

  #write({ first, lines, chars }: Pending): void {
    this.#queuedChars += chars;
    this.#last = this.#last.then(async () => {
      this.#queuedChars -= chars;
      if (this.#isBroken) return;
      try {
        const bytes = encodeBlock(`${lines.join("\n")}\n`, first, lines.length);
        await (await this.#file).write(bytes);
        this.#bytes += bytes.byteLength;
      } catch (error) {
        this.#break(error);
      }
    });
  }

  #break(error: unknown): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#lines = [];
    this.#tail = [];
    this.#options.onBroken(
      error instanceof Error ? error : new Error(String(error)),
    );
  }

  /** What was added until now is in the file when this resolves. */
  async flush(): Promise<void> {
    this.#cut();
    await this.#last;
  }

  async close(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    this.#cut();
    for (const block of this.#tail) this.#write(block);
    this.#tail = [];
    await this.#last;
    this.#options.onClosed();
    await this.#file.then((file) => file.close()).catch(() => {});
  }
}
