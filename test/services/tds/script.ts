/** What a test lays down: answers in place of the engine's, faults, and the record of what was received. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Outcome, Row, RowBytes } from "./outcome.ts";
import { writeRow, type Column } from "./types/columns.ts";
import { parseText } from "./types/text.ts";
import type { Storage } from "./types/storage.ts";
import { parseTypeText } from "./sql/type-text.ts";
import { ByteSink } from "./wire/sink.ts";
import type { ServerMessage } from "./wire/tokens.ts";
import type { SqlType } from "./types/types.ts";

/** A value as a test writes it: the text of the type, or bytes of a binary. */
export type Given = string | number | bigint | boolean | Uint8Array | null;

export interface GivenColumn {
  readonly name: string;
  /** As declared: `nvarchar(40)`, `decimal(38, 10)`, `varchar(20) COLLATE Cyrillic_General_CI_AS`. */
  readonly type: string;
  /** Default true. */
  readonly nullable?: boolean;
}

export type Answer =
  | {
      readonly columns: readonly GivenColumn[];
      readonly rows: Iterable<readonly Given[]>;
    }
  | { readonly error: ServerMessage };

/** One statement or call that was received. */
export interface Statement {
  /** Number of the connection, from 1 on. */
  readonly connection: number;
  readonly kind:
    | "batch"
    | "executesql"
    | "prepare"
    | "execute"
    | "unprepare"
    | "transaction";
  readonly sql: string;
  /** Parameters by name, as text. */
  readonly params: Readonly<Record<string, string | null>>;
  readonly isolation: string;
  readonly inTransaction: boolean;
  /** Table hints, in capitals: `["TABLOCK", "HOLDLOCK"]`; filled in while the statement runs. */
  readonly hints: string[];
}

export interface Fault {
  /** Statements that it strikes: the whole text, or a pattern. */
  readonly on: string | RegExp;
  /**
   * `drop`: the rows until then are sent and the connection ends; `reset`: it breaks; `error`: an error stands among the
   * rows; `stall`: nothing more comes until the client cancels or leaves.
   */
  readonly kind: "drop" | "reset" | "error" | "stall";
  /** Default 0. */
  readonly afterRows?: number;
  readonly error?: ServerMessage;
  /** Statements that it strikes before it is used up. Default 1. */
  readonly times?: number;
  /** Statements that pass unharmed before. Default 0. */
  readonly skip?: number;
}

export function storeGiven(value: Given, type: SqlType): Storage {
  if (value === null) return null;
  if (value instanceof Uint8Array) return value;
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (
    typeof value === "number" &&
    (type.kind === "float" || type.kind === "real")
  )
    return type.kind === "real" ? Math.fround(value) : value;
  return parseText(String(value), type, true);
}

function makeColumns(given: readonly GivenColumn[]): Column[] {
  return given.map(({ name, type, nullable = true }) => ({
    name,
    type: parseTypeText(type),
    nullable,
  }));
}

function* storeRows(
  columns: readonly Column[],
  rows: Iterable<readonly Given[]>,
): Generator<Row> {
  for (const row of rows)
    yield columns.map(({ type }, i) => storeGiven(row[i] ?? null, type));
}

/** Rows as they travel, made once, to be sent many times. */
export function encodeRows(
  given: readonly GivenColumn[],
  rows: Iterable<readonly Given[]>,
): RowBytes {
  const columns = makeColumns(given);
  const encoder = new RowEncoder(columns);
  for (const row of storeRows(columns, rows)) encoder.add(row);
  return encoder.take();
}

class RowEncoder {
  readonly #columns: readonly Column[];
  readonly #sink = new ByteSink();
  #rowCount = 0;

  constructor(columns: readonly Column[]) {
    this.#columns = columns;
  }

  get length(): number {
    return this.#sink.length;
  }

  add(row: Row): void {
    const options = { nullBitmaps: true, unknownLengths: false };
    writeRow(this.#sink, this.#columns, row, options);
    this.#rowCount += 1;
  }

  take(): RowBytes {
    const rowCount = this.#rowCount;
    this.#rowCount = 0;
    return { bytes: this.#sink.take(), rowCount };
  }
}

/** Rows are encoded in pieces of about this size. */
const PIECE_BYTES = 16 * 1024;

function* encodeLazily(
  columns: readonly Column[],
  source: Iterable<readonly Given[] | RowBytes>,
): Generator<RowBytes> {
  const encoder = new RowEncoder(columns);
  for (const item of source) {
    if ("bytes" in item) {
      if (encoder.length > 0) yield encoder.take();
      yield item;
      continue;
    }
    encoder.add(
      columns.map(({ type }, i) => storeGiven(item[i] ?? null, type)),
    );
    if (encoder.length > PIECE_BYTES) yield encoder.take();
  }
  if (encoder.length > 0) yield encoder.take();
}

const squeeze = (sql: string) => sql.trim().replace(/\s+/g, " ");

function matches(pattern: string | RegExp, sql: string): boolean {
  return typeof pattern === "string"
    ? squeeze(pattern) === squeeze(sql)
    : new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, "")).test(sql);
}

type Make = () => Outcome[];

export class Script {
  readonly statements: Statement[] = [];
  #answers: { on: string | RegExp; make: Make }[] = [];
  #faults: { fault: Fault; skip: number; times: number }[] = [];

  answer(on: string | RegExp, answer: Answer): void {
    if ("error" in answer) {
      const { error } = answer;
      this.#answers.unshift({
        on,
        make: () => {
          throw new ScriptedError(error);
        },
      });
      return;
    }
    const columns = makeColumns(answer.columns);
    const make = () => [
      { kind: "rows" as const, columns, rows: storeRows(columns, answer.rows) },
    ];
    this.#answers.unshift({ on, make });
  }

  serveRows(
    on: string | RegExp,
    given: readonly GivenColumn[],
    source: Iterable<readonly Given[] | RowBytes>,
  ): void {
    const columns = makeColumns(given);
    this.#answers.unshift({
      on,
      make: () => [
        { kind: "bytes", columns, pieces: encodeLazily(columns, source) },
      ],
    });
  }

  /** The answer laid down last for this text. @throws ScriptedError */
  find(sql: string): Outcome[] | null {
    return this.#answers.find(({ on }) => matches(on, sql))?.make() ?? null;
  }

  forget(on: string | RegExp): void {
    this.#answers = this.#answers.filter((answer) => answer.on !== on);
  }

  fault(fault: Fault): void {
    const { skip = 0, times = 1 } = fault;
    this.#faults.push({ fault, skip, times });
  }

  /** Called once for each statement, since faults are used up. */
  takeFault(sql: string): Fault | null {
    for (const entry of this.#faults) {
      if (entry.times === 0 || !matches(entry.fault.on, sql)) continue;
      if (entry.skip > 0) {
        entry.skip -= 1;
        continue;
      }
      entry.times -= 1;
      return entry.fault;
    }
    return null;
  }

  /** The statements that match, once there are so many of them. @throws Error after `waitMs` */
  async waitFor(
    pattern: string | RegExp,
    count = 1,
    waitMs = 10_000,
  ): Promise<Statement[]> {
    const end = Date.now() + waitMs;
    for (;;) {
      const found = this.statements.filter(({ sql }) => matches(pattern, sql));
      if (found.length >= count) return found;
      if (Date.now() > end)
        throw new Error(`${found.length} of ${count} statements ${pattern}`);
      await sleep(5);
    }
  }
}

/** An error that a test laid down. */
export class ScriptedError extends Error {
  readonly error: ServerMessage;

  constructor(error: ServerMessage) {
    super(error.message);
    this.error = error;
  }
}
