/**
 * What an executable of the Airbyte protocol adds to a run of its own: streams that are each read in their own way, plans
 * that a state has kept, and the messages that its output carries beside rows.
 */
import type { DurableReport } from "../proto/checkpoint.ts";
import type { DiscoveredWire, HeldColumns } from "../proto/control.ts";
import type { Plan, Position } from "../proto/partition.ts";
import type { SyncMode } from "./request.ts";
import type { RunBook } from "./run-book.ts";

export interface StreamChoice {
  readonly mode: SyncMode;
  readonly cursor: {
    readonly column: string;
    /** As in the request. */
    readonly lagSeconds: number | null;
  } | null;
}

/** What is left of a plan, and how far it has got. Partitions are numbered from 0. */
export interface KeptPlan {
  readonly plan: Plan;
  readonly open: readonly {
    readonly partition: number;
    readonly position: Position;
  }[];
}

export interface RunMessages {
  /** Of streams of which not all columns are wanted. */
  readonly columns: readonly HeldColumns[];
  /** Null: as the request says. */
  choiceOf(stream: {
    readonly namespace: string;
    readonly name: string;
  }): StreamChoice | null;
  /** Null: the stream is planned. @throws ExtractError STATE_INCOMPATIBLE */
  planOf(stream: DiscoveredWire): KeptPlan | null;
  /** What its cursor has come to; null: nowhere yet. */
  cursorOf(stream: {
    readonly namespace: string;
    readonly name: string;
  }): string | null;
  /** Reading begins. */
  begun(book: RunBook, stream: number): readonly string[];
  /** A checkpoint is in the ledger, and so are all of its stream before it. */
  recorded(book: RunBook, report: DurableReport): readonly string[];
  /** All of the stream is in the ledger, and counts from now on. */
  complete(book: RunBook, stream: number): readonly string[];
}
