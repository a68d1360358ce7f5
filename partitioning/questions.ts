/** What the planner wants to know, and what a connector answers: the only way it learns about a table. */
import type { KeyTuple } from "../proto/partition.ts";
import type { LeafMeasure } from "./sizing.ts";

/** `leaf` is an index into the input's leaves. */
export type PlanQuestion =
  | {
      /** Sizes and statistics of all leaves, in one round trip. */
      readonly kind: "measureLeaves";
    }
  | {
      /** Counts the rows on `percent` of the pages and takes the average size of the selected columns. */
      readonly kind: "estimateRows";
      readonly leaf: number;
      /** In (0, 100]; 100 is every page. */
      readonly percent: number;
    }
  | {
      /** Keys of the rows on `percent` of the pages, sorted by the server, thinned evenly to at most `keysMax`. */
      readonly kind: "sampleKeys";
      readonly leaf: number;
      readonly percent: number;
      readonly keysMax: number;
    }
  | {
      /** Smallest and largest value of a key that is one integer column. */
      readonly kind: "keyRange";
      readonly leaf: number;
    }
  | {
      /** These bounds as the server compares them: ascending, those that are not above the one before left out. */
      readonly kind: "orderBounds";
      readonly leaf: number;
      readonly bounds: readonly KeyTuple[];
    };

export type PlanAnswer =
  | { readonly kind: "measureLeaves"; readonly leaves: readonly LeafMeasure[] }
  | {
      readonly kind: "estimateRows";
      readonly rows: number;
      readonly bytesPerRow: number;
    }
  | { readonly kind: "sampleKeys"; readonly keys: readonly KeyTuple[] }
  | {
      readonly kind: "keyRange";
      /** Null for an empty table. */
      readonly range: { readonly min: bigint; readonly max: bigint } | null;
    }
  | { readonly kind: "orderBounds"; readonly bounds: readonly KeyTuple[] };
