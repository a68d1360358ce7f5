/**
 * The engine's process: started, heard, acknowledged, drained, ended. Nothing here decides what happens next: an actor
 * drives it. Messages are taken by iterating; as long as nobody takes the next ones nothing is read, the pipe fills,
 * and the connector waits.
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { ExtractError } from "../../../../proto/error.ts";
import { provideArchive } from "./archive.ts";
import { provideEngine, type EngineFiles } from "./build.ts";
import { toEngineError } from "./errors.ts";
import { FRAME_BYTES, FrameCutter, FrameReader } from "./frames.ts";
import { cleanEnvironment, findJava, type Java } from "./java.ts";
import { LineCutter } from "./lines.ts";
import { LogReader, type EngineLogEntry } from "./log.ts";
import { SilenceWatch } from "./silence-watch.ts";
import {
  formatAck,
  formatSettings,
  LINE_OVERHEAD_BYTES,
  parseLine,
  stopLine,
  type EngineFormat,
  type EngineMessage,
  type EngineOffset,
} from "./protocol.ts";

export interface EngineSettings {
  readonly properties: Readonly<Record<string, string>>;
  /** Null: where the connector itself would begin. */
  readonly offset: EngineOffset | null;
  /** All `history` messages up to that offset, in order. */
  readonly history: readonly string[];
  /** Of one change: key and value together. */
  readonly changeBytesMax?: number;
  readonly heapBytesMax?: number;
  /** Events are counted and thrown away inside of Java: what the engine costs by itself. */
  readonly discard?: boolean;
  readonly format?: EngineFormat;
  readonly onLog?: (entry: EngineLogEntry) => void;
}

/** What runs it. */
export interface EnginePrograms {
  readonly java: Java;
  readonly files: EngineFiles;
  /** Class data of an earlier start, which halves the time of the next; null: none. */
  readonly archive: string | null;
}

const CHANGE_BYTES_MAX_DEFAULT = 64 * 1024 * 1024;
/** A change of that size exists five times while it is decoded, queued and written. */
const HEAP_BYTES_MAX_DEFAULT = 512 * 1024 * 1024;
/** A JVM on a busy machine takes ten seconds; Debezium then looks through catalogs. */
const SILENCE_START_MS_MAX = 180_000;
/** It says at least every two seconds that it is alive. */
const SILENCE_MS_MAX = 60_000;
/** It ends itself ten seconds after it is told to. */
const DRAIN_MS_MAX = 15_000;
/** Of the log, for the error when it dies without a word. */
const LAST_ENTRIES_MAX = 5;
const MEBIBYTE = 1024 * 1024;
/** Of `-XX:+ExitOnOutOfMemoryError`. */
const EXIT_OUT_OF_MEMORY = 3;

/**
 * Java and jars, fetched and built unless they are there.
 * @throws ExtractError ENGINE_UNAVAILABLE
 */
export async function provideEnginePrograms(): Promise<EnginePrograms> {
  const java = await findJava();
  const files = await provideEngine();
  return { java, files, archive: await provideArchive(java, files) };
}

/** Starts the engine. What goes wrong from now on comes out of `messages`. */
export function openEngine(
  settings: EngineSettings,
  programs: EnginePrograms,
): Engine {
  return new Engine(settings, programs);
}

export class Engine {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #cut: (chunk: Buffer) => Iterable<readonly EngineMessage[]>;
  readonly #heapBytesMax: number;
  readonly #lastEntries: EngineLogEntry[] = [];
  readonly #watch: SilenceWatch;
  #isTaken = false;
  #isStreaming = false;
  #isStopping = false;
  #isFull = false;
  /** The last one, while stdin is full. */
  #ack: EngineOffset | null = null;

  constructor(settings: EngineSettings, programs: EnginePrograms) {
    const changeBytesMax = settings.changeBytesMax ?? CHANGE_BYTES_MAX_DEFAULT;
    this.#heapBytesMax = settings.heapBytesMax ?? HEAP_BYTES_MAX_DEFAULT;
    const format = settings.format ?? formatIn(process.env);
    this.#cut = openReader(format, changeBytesMax + LINE_OVERHEAD_BYTES);
    const child = spawn(
      programs.java.path,
      javaArguments(programs, this.#heapBytesMax),
      {
        env: cleanEnvironment(process.env),
        stdio: ["pipe", "pipe", "pipe"],
      },
    );
    this.#child = child;
    this.#watch = new SilenceWatch(child.pid ?? null, () =>
      child.stdout.destroy(),
    );
    this.#exited = new Promise((resolve) => {
      child.once("close", () => resolve());
      child.once("error", () => resolve());
    });
    // it may be gone while something is written to it; its end says why
    child.stdin.on("error", () => {});
    child.stdin.on("drain", () => {
      this.#isFull = false;
      const ack = this.#ack;
      this.#ack = null;
      if (ack !== null) this.ack(ack);
    });
    const log = new LogReader((entry) => {
      this.#lastEntries.push(entry);
      if (this.#lastEntries.length > LAST_ENTRIES_MAX)
        this.#lastEntries.shift();
      settings.onLog?.(entry);
    });
    child.stderr.setEncoding("utf8");
    child.stderr.on("data", (text: string) => log.push(text));
    child.stderr.on("close", () => log.end());
    child.stdin.write(
      formatSettings({
        properties: settings.properties,
        offset: settings.offset,
        history: settings.history,
        lineBytesMax: changeBytesMax,
        discard: settings.discard ?? false,
        format,
      }),
    );
  }

  /** Of the JVM; null when it could not be started. */
  get pid(): number | null {
    return this.#child.pid ?? null;
  }

  /** When the process is gone, however it went. */
  get exited(): Promise<void> {
    return this.#exited;
  }

  /**
   * The messages as they come, some at a time, up to `stopped`. To leave early ends the engine.
   * @throws ExtractError for what the engine or the source has to say, and PEER_STALLED when it says nothing
   */
  async *messages(): AsyncGenerator<readonly EngineMessage[], void> {
    assert(!this.#isTaken, "an engine's messages are taken once");
    this.#isTaken = true;
    const chunks = this.#child.stdout?.[Symbol.asyncIterator]();
    let isStopped = false;
    try {
      for (;;) {
        const next = await this.#hear(chunks);
        if (this.#watch.failure) throw this.#watch.failure;
        if (next === null) break;
        const messages: EngineMessage[] = [];
        let failure: ExtractError | null = null;
        for (const message of this.#read(next)) {
          if (message.type === "ready") this.#isStreaming = true;
          if (message.type === "stopped") isStopped = true;
          if (message.type === "error") {
            failure = toEngineError(message.causes, this.#isStreaming);
            break;
          }
          messages.push(message);
        }
        if (messages.length > 0) yield messages;
        if (failure !== null) throw failure;
      }
      await this.#exited;
      // one that was drained, and could not say its last word, has done what it was told
      if (!isStopped && !this.#isStopping) throw this.#explainEnd();
    } finally {
      this.#watch.close();
      await this.kill();
    }
  }

  *#read(chunk: Buffer): Generator<EngineMessage> {
    for (const messages of this.#cut(chunk)) yield* messages;
  }

  /** Null at the end. @throws ExtractError PEER_STALLED */
  async #hear(
    chunks: AsyncIterator<Buffer> | undefined,
  ): Promise<Buffer | null> {
    if (chunks === undefined) return null;
    this.#watch.begin(
      this.#isStreaming ? SILENCE_MS_MAX : SILENCE_START_MS_MAX,
    );
    try {
      const { done, value } = await chunks.next();
      return done === true ? null : value;
    } catch {
      // a pipe that was closed on our side, by `kill`, has ended like any other
      return null;
    } finally {
      this.#watch.end();
    }
  }

  /** Everything up to this offset is in the ledger: the source may forget it. Of several only the last is passed on. */
  ack(offset: EngineOffset): void {
    if (this.#isFull) {
      this.#ack = offset;
      return;
    }
    if (this.#child.stdin?.writable !== true) return;
    this.#isFull = !this.#child.stdin.write(formatAck(offset));
  }

  /**
   * Lets the connector leave its server in good order. What it has read and nobody has taken is dropped; it comes again
   * from the acknowledged offset.
   */
  async drain(): Promise<void> {
    if (!this.#isStopping) {
      this.#isStopping = true;
      if (this.#child.stdin?.writable === true)
        this.#child.stdin.write(stopLine);
    }
    if (!this.#isTaken) this.#child.stdout?.resume();
    const timer = setTimeout(() => void this.kill(), DRAIN_MS_MAX);
    await this.#exited;
    clearTimeout(timer);
  }

  /** At once. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    // what is still in the pipe would keep the process's end from being told
    this.#child.stdout?.destroy();
    await this.#exited;
  }

  #explainEnd(): ExtractError {
    const { exitCode, signalCode } = this.#child;
    const said = this.#lastEntries
      .map(({ message }) => message)
      .join("\n")
      .slice(-2_000);
    if (exitCode === EXIT_OUT_OF_MEMORY) {
      return new ExtractError(
        "ENGINE_FAILED",
        `the change data engine has used up its heap of ${this.#heapBytesMax / MEBIBYTE} MiB; a change that large needs more`,
        { heapBytesMax: this.#heapBytesMax, said },
      );
    }
    return new ExtractError(
      "PROCESS_DIED",
      `the change data engine ended early: ${signalCode ?? `exit code ${exitCode}`}`,
      { role: "engine", pid: this.pid, said },
    );
  }
}

function openReader(
  format: EngineFormat,
  bytesMax: number,
): (chunk: Buffer) => Generator<readonly EngineMessage[]> {
  if (format === "json") {
    const cutter = new LineCutter(bytesMax);
    return function* readLines(chunk) {
      for (const line of cutter.cut(chunk)) yield [parseLine(line)];
    };
  }
  const cutter = new FrameCutter(bytesMax + FRAME_BYTES);
  const reader = new FrameReader();
  return function* readFrames(chunk) {
    for (const frame of cutter.cut(chunk)) yield reader.read(frame);
  };
}

/** `json`, for benchmarks. */
const FORMAT_VARIABLE = "MILLRACE_ENGINE_FORMAT";

function formatIn(environment: NodeJS.ProcessEnv): EngineFormat {
  return environment[FORMAT_VARIABLE] === "json" ? "json" : "batches";
}

/** Nothing of the settings is among them: whoever may list processes sees these. */
function javaArguments(
  { files, archive }: EnginePrograms,
  heapBytesMax: number,
): string[] {
  return [
    ...["-XX:+UseSerialGC", "-Xms32m"],
    `-Xmx${Math.ceil(heapBytesMax / MEBIBYTE)}m`,
    "-XX:+ExitOnOutOfMemoryError",
    ...furtherOptions(process.env),
    // stdout is for our lines alone
    ...["-XX:+DisplayVMOutputToStderr", "-Xlog:disable", "-Xlog:all=off"],
    ...(archive === null ? [] : [`-XX:SharedArchiveFile=${archive}`]),
    ...["-Dfile.encoding=UTF-8", "-Duser.timezone=UTC"],
    ...["-Djava.awt.headless=true", ...logArguments],
    ...["-cp", files.jar, "millrace.Main"],
  ];
}

/** The user's, e.g. for what watches JVMs: between spaces, as shells would have them without quotes. */
const OPTIONS_VARIABLE = "MILLRACE_JAVA_OPTIONS";

function furtherOptions(environment: NodeJS.ProcessEnv): string[] {
  return (environment[OPTIONS_VARIABLE] ?? "").split(/\s+/).filter(Boolean);
}

const logArguments = [
  ["defaultLogLevel", "warn"],
  ["showDateTime", "false"],
  ["showThreadName", "false"],
  ["levelInBrackets", "true"],
  // it tells of each type that is in two schemas
  ["log.io.debezium.connector.postgresql.TypeRegistry", "error"],
].map(([name, value]) => `-Dorg.slf4j.simpleLogger.${name}=${value}`);
