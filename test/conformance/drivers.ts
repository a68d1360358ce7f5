/** What a connector brings to the suite: how to make tables in a source, how to look into a destination, and its waivers. */
import type { LogicalType } from "../../proto/schema.ts";
import type {
  Cell,
  Column,
  NeutralColumn,
  Row,
  Table,
  TypeCase,
} from "./model.ts";
import type { ScenarioName } from "./scenarios.ts";

/** Why a scenario is not for this connector; each reason is printed below the table in the README. */
export type Waivers = Readonly<Partial<Record<ScenarioName, string>>>;

/** There is no server to try it on; the scenario is skipped, and in CI the suite fails before. */
export class Unavailable extends Error {}

export interface SourceDriver {
  /** As the table in the README has it. */
  readonly name: string;
  readonly waivers: Waivers;
  /** Why heavy scenarios never run at full size. */
  readonly reducedOnly?: string;
  readonly typeCases: readonly TypeCase[];
  /** Statements that the type cases need, each a batch of its own. */
  readonly typeSetUp?: readonly string[];
  readonly quoteName: (name: string) => string;
  readonly typeName: (column: NeutralColumn) => string;
  readonly literal: (
    column: Pick<NeutralColumn, "kind">,
    cell: string,
  ) => string;
  /** Behind CREATE TABLE, for a key that may be NULL. */
  readonly addNullableKey: (table: Table) => string;
  /** An expression that repeats `pattern`; `count` may go beyond what a literal holds. */
  readonly repeat: (
    column: Pick<NeutralColumn, "kind">,
    pattern: string,
    count: number,
  ) => string;
  /**
   * A database of its own, for one scenario, at whose full size values of 100 MB have to fit.
   * @throws Unavailable
   */
  open(isFullSize: boolean): Promise<OpenSource>;
}

export interface OpenSource {
  readonly url: string;
  /** Where tables are made: the first part of their names. */
  readonly namespace: string;
  /** E.g. `PostgreSQL 15.18`. */
  readonly version: string;
  exec(sql: string): Promise<void>;
  close(): Promise<void>;
}

export interface DestinationDriver {
  readonly name: string;
  readonly waivers: Waivers;
  /** Of the types: what arrives where the destination cannot hold the value as it is. */
  readonly adapt?: (type: LogicalType, cell: string) => Cell;
  /** Another format of the first destination, whose files, states and commits are the same code. */
  readonly isFormatOnly?: boolean;
  /** Heavy scenarios run at full size into it in a full run, from one source. */
  readonly isEngine: boolean;
  /** An empty place of its own, for one scenario. @throws Unavailable */
  open(): Promise<OpenDestination>;
}

export interface StreamPlace {
  readonly namespace: string;
  readonly name: string;
  /** What the run's summary says of where the rows are. */
  readonly folder: string;
}

export interface OpenDestination {
  /** The second argument of `millrace sync`. */
  readonly target: string;
  readonly options: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Of its server; null where it has none. */
  readonly version: string | null;
  /**
   * All rows that a reader sees who knows nothing of ours, in any order, in the notation of `Cell`.
   * @returns the columns' names in order; null where an empty table has none
   */
  read(
    place: StreamPlace,
    columns: readonly Column[],
    take: (row: Row) => void,
  ): Promise<readonly string[] | null>;
  close(): Promise<void>;
}

/** Turns a `withX(use)` into something that is open until it is closed. */
export async function hold<T>(
  run: (use: (value: T) => Promise<void>) => Promise<void>,
): Promise<{ readonly value: T; close(): Promise<void> }> {
  let release = (): void => {};
  const closed = new Promise<void>((resolve) => (release = resolve));
  return new Promise((resolve, reject) => {
    const ended = run(async (value) => {
      resolve({
        value,
        close: async () => {
          release();
          await ended;
        },
      });
      await closed;
    });
    ended.catch(reject);
  });
}
