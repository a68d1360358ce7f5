/** What the thread that makes a ledger's log durable is told, and answers. */

export interface LogWorkerData {
  /** Of the ledger's file. */
  readonly path: string;
}

export interface LogOrder {
  /** Drawn up to here, the log is to be on disk. */
  readonly upTo: number;
  /** Afterwards its pages are to be carried over into the file, so that the log begins anew. */
  readonly isCarriedOver: boolean;
}

export type LogAnswer =
  | { readonly upTo: number; readonly fault: null }
  | { readonly upTo: number; readonly fault: string };
