/** One connection's view of the database: its transaction, its variables, and what it executes. */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { Isolation, Outcome, Row } from "../outcome.ts";
import { ScriptedError } from "../script.ts";
import type { Expr, Query, Statement } from "../sql/ast.ts";
import { parseBatch } from "../sql/parse-statement.ts";
import type { Column } from "../types/columns.ts";
import { SqlError, unpackText, type Storage } from "../types/storage.ts";
import { formatText } from "../types/text.ts";
import { makeType, type SqlType } from "../types/types.ts";
import { changeRows, type Target } from "./changes.ts";
import { Compiler, type TableRead, type Variables } from "./compiler.ts";
import type { Table } from "./catalogue.ts";
import type { Database } from "./database.ts";
import { define } from "./define.ts";
import { translateErrors } from "./definitions.ts";
import { emitExpr } from "./emit.ts";
import type { Waiter } from "./locks.ts";
import { Relations } from "./relations.ts";
import { emptyScope } from "./scope.ts";

export interface EngineParameter {
  readonly name: string;
  readonly type: SqlType;
  readonly value: Storage;
}

/** Levels at which what was read stays locked. */
const lockingLevels = new Set<Isolation>(["REPEATABLE READ", "SERIALIZABLE"]);

export class EngineSession {
  readonly #database: Database;
  readonly #db: DatabaseSync;
  readonly id: number;
  readonly #relations: Relations;
  readonly #compiler: Compiler;
  readonly #waiter: Waiter & { lockTimeoutMs: number | null };
  isolation: Isolation = "READ COMMITTED";
  transactionCount = 0;
  rowCount = 0;
  wasRolledBack = false;
  descriptor: Buffer = Buffer.alloc(8);
  #nextDescriptor = 1n;
  /** SQLite's BEGIN was sent. */
  #hasBegun = false;

  constructor(
    database: Database,
    id: number,
    databaseName: string,
    isCancelled: () => boolean = () => false,
  ) {
    this.#database = database;
    this.id = id;
    this.#db = database.open();
    this.#waiter = { isCancelled, lockTimeoutMs: null };
    this.#relations = new Relations(database, this.#db, databaseName);
    this.#compiler = new Compiler(database, this.#db, this, this.#relations);
  }

  get #target(): Target {
    const compiler = this.#compiler;
    return { database: this.#database, db: this.#db, compiler };
  }

  get sqlite(): DatabaseSync {
    return this.#db;
  }

  begin(): void {
    this.transactionCount += 1;
    if (this.transactionCount > 1) return;
    this.descriptor = Buffer.alloc(8);
    this.descriptor.writeBigUInt64LE(
      (BigInt(this.id) << 32n) + this.#nextDescriptor,
    );
    this.#nextDescriptor += 1n;
  }

  /** @throws SqlError 3902 */
  commit(): void {
    if (this.transactionCount === 0)
      throw new SqlError(
        3902,
        "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.",
      );
    this.transactionCount -= 1;
    if (this.transactionCount === 0) this.#end("COMMIT");
  }

  /** @throws SqlError 3903 */
  rollback(): void {
    if (this.transactionCount === 0)
      throw new SqlError(
        3903,
        "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.",
      );
    this.transactionCount = 0;
    this.#end("ROLLBACK");
  }

  #end(how: "COMMIT" | "ROLLBACK"): void {
    this.wasRolledBack = how === "ROLLBACK";
    if (this.#hasBegun) this.#db.exec(how);
    this.#hasBegun = false;
    this.#database.locks.release(this);
  }

  reset(): void {
    if (this.transactionCount > 0) this.rollback();
    this.isolation = "READ COMMITTED";
    this.#waiter.lockTimeoutMs = null;
  }

  close(): void {
    if (!this.#db.isOpen) return;
    this.transactionCount = 0;
    this.#end("ROLLBACK");
    this.#db.close();
  }

  /** @throws SqlError, ScriptedError */
  async *execute(
    sql: string,
    parameters: readonly EngineParameter[],
    hints: string[],
  ): AsyncGenerator<Outcome> {
    const variables: Variables = new Map(
      parameters.map(({ name, type, value }) => [
        name.toLowerCase(),
        { type, value },
      ]),
    );
    for (const statement of parseBatch(sql))
      yield* this.#run(statement, variables, hints);
  }

  async *#run(
    statement: Statement,
    variables: Variables,
    hints: string[],
  ): AsyncGenerator<Outcome> {
    const { catalogue } = this.#database;
    switch (statement.is) {
      case "select":
        return yield* this.#select(statement.query, variables, hints);
      case "insert":
      case "update":
      case "delete":
      case "truncate": {
        const table = this.#relations.findTable(statement.table);
        const count = await this.#write(table, () =>
          changeRows(this.#target, table, statement, variables),
        );
        this.rowCount = count;
        return yield { kind: "count", count };
      }
      case "set":
        if (statement.option === "LOCK_TIMEOUT") {
          const ms = Number(statement.value.replaceAll(" ", ""));
          this.#waiter.lockTimeoutMs = ms < 0 ? null : ms;
        }
        break;
      case "isolation":
        this.isolation = statement.level as Isolation;
        break;
      case "begin":
        this.begin();
        break;
      case "commit":
        this.commit();
        break;
      case "rollback":
        this.rollback();
        break;
      case "declare":
      case "assign": {
        const type =
          statement.is === "declare"
            ? statement.type
            : variables.get(statement.name.toLowerCase())?.type;
        if (type === undefined)
          throw new SqlError(
            137,
            `Must declare the scalar variable "${statement.name}".`,
            15,
          );
        const value =
          statement.value === null
            ? null
            : this.#compiler.evaluate(statement.value, variables, type);
        variables.set(statement.name.toLowerCase(), { type, value });
        if (statement.is === "declare") return;
        break;
      }
      case "if": {
        const test = this.#compiler.evaluate(statement.test, variables, null);
        const branch =
          test !== null && Number(test) !== 0
            ? statement.body
            : statement.otherwise;
        for (const inner of branch) yield* this.#run(inner, variables, hints);
        return;
      }
      case "use": {
        const name = this.#database.databases.find(
          (of) => of.toLowerCase() === statement.database.toLowerCase(),
        );
        if (name === undefined)
          throw new SqlError(
            911,
            `Database '${statement.database}' does not exist. Make sure that the name is entered correctly.`,
          );
        this.#relations.databaseName = name;
        yield { kind: "database", name };
        break;
      }
      case "print": {
        const text = this.#compiler.evaluate(
          statement.value,
          variables,
          makeType("nvarchar", { length: 4000 }),
        );
        const message = text === null ? "" : unpackText(String(text));
        yield { kind: "info", message: { number: 0, message } };
        break;
      }
      case "raise":
        throw this.#makeError(statement.args, variables);
      case "wait": {
        const text = this.#compiler.evaluate(
          statement.ms,
          variables,
          makeType("time", { scale: 3 }),
        );
        await new Promise((resolve) =>
          setTimeout(resolve, Number(text) / 10_000),
        );
        break;
      }
      case "execute": {
        const text = this.#compiler.evaluate(
          statement.sql,
          variables,
          makeType("nvarchar", { length: -1 }),
        );
        return yield* this.execute(unpackText(String(text)), [], hints);
      }
      case "alterDatabase":
        if (this.#database.alterError !== null)
          throw new ScriptedError(this.#database.alterError);
        if (statement.option === "ALLOW_SNAPSHOT_ISOLATION")
          this.#database.snapshotAllowed = statement.on;
        if (statement.option === "READ_COMMITTED_SNAPSHOT")
          this.#database.readCommittedSnapshot = statement.on;
        break;
      case "createDatabase":
        this.#database.databases.push(statement.name);
        break;
      case "createSchema":
        catalogue.createSchema(statement.name);
        break;
      case "createView": {
        const view = catalogue.createTable(statement.view, statement.query);
        const { columns } = this.#compiler.compile(
          statement.query,
          variables,
          [],
        );
        view.columns = columns.map(({ name, type, nullable }, i) => ({
          ...{ id: i + 1, name, type, nullable },
          ...{ identity: null, defaultTo: null },
        }));
        catalogue.version += 1;
        break;
      }
      case "nothing":
        break;
      default: {
        const path = "table" in statement ? statement.table : null;
        const table = path === null ? null : catalogue.find(path);
        await this.#write(table, () =>
          define(this.#target, statement, variables),
        );
      }
    }
    yield { kind: "done" };
  }

  #makeError(args: readonly Expr[], variables: Variables): ScriptedError {
    const [first, second, third] = args.map((arg) => {
      const typed = emitExpr(
        this.#compiler.emitter(variables, [], []),
        arg,
        emptyScope(),
      );
      return typed.value === null ? "" : formatText(typed.value, typed.type);
    });
    // THROW number, message, state; RAISERROR (message, severity, state)
    return /^\d+$/.test(first ?? "")
      ? new ScriptedError({
          number: Number(first),
          message: second ?? "",
          state: Number(third ?? 1),
        })
      : new ScriptedError({
          number: 50_000,
          message: first ?? "",
          class: Number(second ?? 16),
          state: Number(third ?? 1),
        });
  }

  /** Locks what is read, and opens the snapshot. */
  async #prepareRead(read: readonly TableRead[]): Promise<void> {
    for (const { table, hints } of read) {
      const holds =
        hints.some(
          (h) =>
            h === "HOLDLOCK" || h === "SERIALIZABLE" || h === "REPEATABLEREAD",
        ) || lockingLevels.has(this.isolation);
      // TABLOCK alone lasts no longer than the statement, which no other can come between
      if (holds) await this.#database.locks.share(this, table.id, this.#waiter);
      if (hints.includes("TABLOCKX"))
        await this.#database.locks.write(this, table.id, this.#waiter);
    }
    if (this.isolation !== "SNAPSHOT" || read.length === 0) return;
    if (!this.#database.snapshotAllowed)
      throw new SqlError(
        3952,
        `Snapshot isolation transaction failed accessing database '${this.#relations.databaseName}' because snapshot isolation is not allowed in this database. Use ALTER DATABASE to allow snapshot isolation.`,
      );
    if (this.transactionCount > 0 && !this.#hasBegun) {
      this.#db.exec("BEGIN");
      this.#hasBegun = true;
    }
  }

  async *#select(
    query: Query,
    variables: Variables,
    hints: string[],
  ): AsyncGenerator<Outcome> {
    const { sql, columns, bindings, read } = this.#compiler.compile(
      query,
      variables,
      hints,
    );
    await this.#prepareRead(read);
    const statement = this.#compiler.prepare(sql);
    const shown: Column[] = columns.map(({ name, type, nullable, column }) => ({
      name,
      type,
      // what was computed may be NULL
      nullable: column === undefined ? true : nullable,
      ...(column?.table === undefined ? {} : { table: column.table }),
      ...(column?.identity === true ? { identity: true } : {}),
    }));
    const rows = statement.iterate(
      ...(bindings as SQLInputValue[]),
    ) as unknown as IterableIterator<Row>;
    this.rowCount = 0;
    yield { kind: "rows", columns: shown, rows: this.#count(rows) };
    if (this.transactionCount === 0) this.#database.locks.release(this);
  }

  *#count(rows: Iterable<Row>): Generator<Row> {
    for (const row of rows) {
      this.rowCount += 1;
      yield row;
    }
  }

  /** Begins to write: waits for other writers, and opens SQLite's transaction. */
  async beginWrite(table: Table | null): Promise<void> {
    await this.#database.locks.write(this, table?.id ?? null, this.#waiter);
    if (this.#hasBegun) return;
    this.#db.exec("BEGIN IMMEDIATE");
    this.#hasBegun = true;
  }

  /** Runs a write; outside of a transaction it is one of its own. */
  async #write<T>(table: Table | null, run: () => T): Promise<T> {
    await this.beginWrite(table);
    this.#db.exec("SAVEPOINT statement");
    try {
      const result = table === null ? run() : translateErrors(table, run);
      this.#db.exec("RELEASE statement");
      if (this.transactionCount === 0) this.#end("COMMIT");
      return result;
    } catch (error) {
      if (this.#db.isTransaction)
        this.#db.exec("ROLLBACK TO statement; RELEASE statement");
      if (this.transactionCount === 0) this.#end("ROLLBACK");
      throw error;
    }
  }
}
