/** Messages between the pool of the bookkeeper and one of its threads. What is told travels as text, as it does between processes. */

/** What a thread is born with. */
export interface InlineThreadData {
  /** Each channel has a thread of its own, as in a process: for one run that may be large. Left out: it lives in this one. */
  readonly ownChannels?: boolean;
}

export type InlineRole = "source" | "destination" | "keeper";

export type InlineOrder =
  | {
      readonly type: "start";
      readonly child: number;
      readonly role: InlineRole;
    }
  /** JSON of an order of `proto/control.ts`. */
  | { readonly type: "order"; readonly child: number; readonly text: string }
  /** The bookkeeper lets go of it. */
  | { readonly type: "detach"; readonly child: number }
  /** It ends at once, as it is. */
  | { readonly type: "end"; readonly child: number }
  /** So many characters of facts were read. */
  | { readonly type: "read"; readonly chars: number };

export type InlineFact =
  | { readonly type: "fact"; readonly child: number; readonly text: string }
  /** A message of the Airbyte protocol. */
  | { readonly type: "protocol"; readonly child: number; readonly text: string }
  /** The last of a child; what it held is let go of. */
  | { readonly type: "exited"; readonly child: number; readonly code: number };
