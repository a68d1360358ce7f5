/** `source.py read | destination-… write`, as a platform runs them: what came back is what it knows. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { toolEnv } from "../../arrows.ts";
import { expect } from "vitest";
import { builtLauncher } from "../../fixtures/built.ts";
import { pythonSource, readLines, type Message } from "./airbyte.ts";
import { ROWS } from "./foreign.ts";

/** Of the files that the Python source stages, by their rows. */
export const contentOf = (id: number): string => `file ${id}\n`.repeat(id % 50);
export const placeOf = (id: number): string =>
  `reports/${id % 5}/report \u00e9 ${id}.txt`;

const STATE_ROWS = 10;

export interface WriteSettings {
  readonly executable:
    | "destination-file"
    | "destination-s3"
    | "destination-postgres";
  /** Of the Python source. */
  readonly source?: object;
  readonly destination: object;
  readonly hasFiles?: boolean;
}

/** Of one stream, `users`, unless it is configured otherwise; in files beside a folder. */
export class WritePipeline {
  readonly #root: string;
  readonly #executable: string;
  readonly #files: Record<string, string> = {};
  readonly #source: object;
  readonly #hasFiles: boolean;
  /** Where each run has begun: behind so many rows. */
  readonly #starts: number[] = [];
  stdout = "";
  #write: ChildProcess | null = null;

  constructor(
    root: string,
    { executable, source = {}, destination, hasFiles = false }: WriteSettings,
  ) {
    this.#root = root;
    this.#executable = executable;
    this.#source = source;
    mkdirSync(this.staging, { recursive: true });
    this.#put("destination", {
      checkpoint_interval_seconds: 0.2,
      ...destination,
    });
    this.#hasFiles = hasFiles;
    this.configure(["users"]);
  }

  /** What is written from now on. */
  configure(names: readonly string[], more: object = {}): void {
    const columns = { id: { type: "integer" } };
    this.#put("catalog", {
      streams: names.map((name) => ({
        stream: { name, json_schema: { properties: columns } },
        sync_mode: "incremental",
        destination_sync_mode: "append",
        generation_id: 1,
        minimum_generation_id: 0,
        sync_id: 1,
        include_files: this.#hasFiles,
        ...more,
      })),
    });
  }

  get staging(): string {
    return `${this.#root}-staging`;
  }

  get messages(): readonly Message[] {
    return readLines(this.stdout);
  }

  get states(): unknown[] {
    return this.messages.flatMap(({ type, state }) =>
      type === "STATE" ? [state] : [],
    );
  }

  /** From the last state that came back, up to so many rows. @returns the exit code; null: killed */
  run(
    rows = ROWS,
    env: Readonly<Record<string, string>> = {},
  ): Promise<number | null> {
    const known = this.states.at(-1);
    const { stream } = (known ?? {}) as {
      readonly stream?: { readonly stream_state: { readonly row: number } };
    };
    this.#starts.push(stream?.stream_state.row ?? 0);
    this.#put("state", known === undefined ? [] : [known]);
    this.#put("source", {
      ...{ streams: ["users"], rows, state_every: STATE_ROWS, pause_ms: 4 },
      ...this.#source,
    });
    const given = (...names: string[]): string[] =>
      names.flatMap((name) => [`--${name}`, this.#files[name] ?? ""]);
    const { source = "", destination = "" } = this.#files;
    const staging = { AIRBYTE_STAGING_DIRECTORY: this.staging };
    const read = spawn(
      "python3",
      [
        ...["-S", "-E", pythonSource, "read", "--config", source],
        ...given("catalog", "state"),
      ],
      {
        env: { ...process.env, ...staging },
        stdio: ["ignore", "pipe", "ignore"],
      },
    );
    const write = spawn(
      process.execPath,
      [
        join(dirname(builtLauncher()), `${this.#executable}.js`),
        ...["write", "--config", destination],
        ...given("catalog"),
      ],
      {
        env: { ...toolEnv, ...staging, ...env, MILLRACE_SOURCES: undefined },
        stdio: [read.stdout, "pipe", "ignore"],
      },
    );
    read.stdout.destroy();
    this.#write = write;
    write.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    return new Promise((resolve) => {
      write.on("close", (code) => {
        read.kill("SIGKILL");
        resolve(code);
      });
    });
  }

  /**
   * All rows are there, and each once; but for what a kill between the ledger and stdout makes come again: whole states,
   * right behind the one that a run has begun with.
   */
  expectRows(ids: readonly number[], rows = ROWS): void {
    const wanted = Array.from({ length: rows }, (_, i) => i + 1);
    expect([...new Set(ids)].toSorted((a, b) => a - b)).toEqual(wanted);
    const again = new Set(ids.filter((id, at) => ids.indexOf(id) !== at));
    for (const start of this.#starts)
      for (let id = start + 1; again.delete(id); id++)
        if (!again.has(id + 1)) expect(id % STATE_ROWS).toBe(0);
    expect([...again]).toEqual([]);
  }

  kill(): void {
    this.#write?.kill("SIGKILL");
  }

  #put(name: string, value: unknown): void {
    const path = `${this.#root}-${name}.json`;
    writeFileSync(path, JSON.stringify(value));
    this.#files[name] = path;
  }
}
