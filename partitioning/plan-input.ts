/** What a plan is made from, in the planner's own words: connectors map theirs to them. */
import type { RelationRef } from "../proto/partition.ts";
import type { Pace } from "./sizing.ts";

export interface LeafInput {
  readonly relation: RelationRef;
  readonly only: boolean;
  /** Addressable by ctid, and by TABLESAMPLE. */
  readonly heap: boolean;
}

export interface KeyInput {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
}

export interface PlanInput extends Pace {
  /** The stream's number. */
  readonly stream: number;
  readonly leaves: readonly LeafInput[];
  /** Unique and NOT NULL in every leaf; null where there is none. */
  readonly key: KeyInput | null;
  /** E.g. 150018. */
  readonly serverVersion: number;
  readonly partitionBy: "auto" | "ctid" | "key";
  /** Bytes of a heap page. */
  readonly blockBytes: number;
}
