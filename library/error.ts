/** The errors of the outside world, as the library throws them. */
import { ExtractError as Thrown } from "../proto/error.ts";
import type { ExtractErrorShape, SyncSummary } from "./types.ts";

/** A fault of the outside world; for `instanceof`. */
export interface ExtractError extends ExtractErrorShape {
  /** Of a sync that did not succeed, what became of its tables. */
  readonly summary?: SyncSummary;
}

export const ExtractError: {
  readonly prototype: ExtractError;
  [Symbol.hasInstance](value: unknown): value is ExtractError;
} = Thrown as never;
