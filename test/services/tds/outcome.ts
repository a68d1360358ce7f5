/** What executing SQL gives, one after the other; an error is thrown, as SqlError. */
import type { Column } from "./types/columns.ts";
import type { Storage } from "./types/storage.ts";
import type { ServerMessage } from "./wire/tokens.ts";

export type Row = readonly Storage[];

export type Outcome =
  /** A result set; the rows are made as they are sent. */
  | {
      readonly kind: "rows";
      readonly columns: readonly Column[];
      readonly rows: Iterable<Row> | AsyncIterable<Row>;
    }
  /** A result set whose rows, with their tokens, are ready. */
  | {
      readonly kind: "bytes";
      readonly columns: readonly Column[];
      readonly pieces: Iterable<RowBytes>;
    }
  /** A statement that changed so many rows. */
  | { readonly kind: "count"; readonly count: number }
  /** A statement without a count. */
  | { readonly kind: "done" }
  | { readonly kind: "info"; readonly message: ServerMessage }
  | { readonly kind: "database"; readonly name: string };

export interface RowBytes {
  readonly bytes: Uint8Array;
  readonly rowCount: number;
}

/** Levels of a transaction manager request, by number. @see [MS-TDS] 2.2.6.9 "Transaction Manager Request" */
export const isolationLevels = [
  "READ COMMITTED",
  "READ UNCOMMITTED",
  "READ COMMITTED",
  "REPEATABLE READ",
  "SERIALIZABLE",
  "SNAPSHOT",
] as const;

export type Isolation = (typeof isolationLevels)[number];
