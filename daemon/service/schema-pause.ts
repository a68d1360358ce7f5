/**
 * A sync whose policy is to pause: why it does, and what an operator has agreed to. Both are in the ledger, so that a
 * restart forgets neither; an agreement holds until the streams that it is about have been committed.
 */
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import type { RunEvent, RunSummary, SyncRequest } from "../request.ts";
import {
  describeDifference,
  type SchemaDifference,
} from "../schema-changes.ts";
import { nameTable } from "../../proto/table-name.ts";

export type SchemaChanged = Extract<RunEvent, { type: "schema.changed" }>;

export interface SchemaPause {
  readonly kind: "schema";
  /** The run that has found it. */
  readonly runId: string;
  readonly streams: readonly {
    /** `schema.table` */
    readonly stream: string;
    /** `new: a; gone: b; c: integer became bigint` */
    readonly change: string;
    readonly difference: SchemaDifference;
  }[];
  /** Streams that have changed too, and are not listed. */
  readonly more: number;
}

/** Characters of the streams that a pause lists; the ledger keeps no longer reason. */
const LISTED_CHARACTERS_MAX = 48_000;
const CHANGE_CHARACTERS_MAX = 500;
const COLUMNS_LISTED_MAX = 50;

/** Null where nothing of it keeps the sync from going on. */
export function describePause(
  runId: string,
  changes: readonly SchemaChanged[],
): SchemaPause | null {
  const refused = changes.filter(({ refusal }) => refusal !== null);
  if (refused.length === 0) return null;
  const streams: SchemaPause["streams"][number][] = [];
  let characters = 0;
  for (const { stream, difference } of refused) {
    const one = {
      stream: nameTable(stream),
      change: describeDifference(difference).slice(0, CHANGE_CHARACTERS_MAX),
      difference: {
        added: difference.added.slice(0, COLUMNS_LISTED_MAX),
        removed: difference.removed.slice(0, COLUMNS_LISTED_MAX),
        changed: difference.changed.slice(0, COLUMNS_LISTED_MAX),
      },
    };
    characters += JSON.stringify(one).length;
    if (characters > LISTED_CHARACTERS_MAX) break;
    streams.push(one);
  }
  return {
    kind: "schema",
    runId,
    streams,
    more: refused.length - streams.length,
  };
}

/** In a sentence: `public.t has changed (new: c)`. */
export function explainPause({ streams, more }: SchemaPause): string {
  const [first] = streams;
  const others = streams.length + more - 1;
  const words =
    first === undefined
      ? "streams have changed"
      : `${first.stream} has changed (${first.change})`;
  return others > 0 && first !== undefined
    ? `${words}, and ${others} more`
    : words;
}

export function readPause(reasonJson: string | null): SchemaPause | null {
  return reasonJson === null ? null : (JSON.parse(reasonJson) as SchemaPause);
}

/** What `acceptSchemaChanges` of the sync's next run is to be. */
type Agreement = true | readonly string[];

function readAgreement(agreementJson: string | null): Agreement | null {
  return agreementJson === null
    ? null
    : (JSON.parse(agreementJson) as Agreement);
}

/**
 * Whoever resumes a sync that waits for it has agreed to what they were shown; where not all of it could be shown, to
 * all. Joined to what was agreed to before and is not committed yet. In a transaction of the caller's.
 */
export function agree(ledger: Ledger, sync: string): SchemaPause | null {
  const { reasonJson, agreementJson } = ledger.syncStateOf(sync);
  const pause = readPause(reasonJson);
  if (pause === null) return null;
  const before = readAgreement(agreementJson);
  const streams = new Set([
    ...(before === true || before === null ? [] : before),
    ...pause.streams.map(({ stream }) => stream),
  ]);
  const listed = JSON.stringify([...streams]);
  const isAll =
    before === true || pause.more > 0 || listed.length > LISTED_CHARACTERS_MAX;
  ledger.setAgreement(sync, isAll ? "true" : listed);
  return pause;
}

export function withAgreement(
  ledger: Ledger,
  sync: string,
  request: SyncRequest,
): SyncRequest {
  const agreed = readAgreement(ledger.syncStateOf(sync).agreementJson);
  return agreed === null || request.acceptSchemaChanges === true
    ? request
    : { ...request, acceptSchemaChanges: agreed };
}

/** A run of the sync is over: what it has committed needs no agreement any more. */
export function settleAgreement(
  ledger: Ledger,
  sync: string,
  { state, streams }: RunSummary,
  isWhole: boolean,
): void {
  const agreed = readAgreement(ledger.syncStateOf(sync).agreementJson);
  if (agreed === null) return;
  const isDone = isWhole && state === "succeeded";
  const committed = new Set(
    streams
      .filter((stream) => stream.state === "committed")
      .map(({ namespace, name }) => nameTable({ namespace, name })),
  );
  const left =
    agreed === true ? agreed : agreed.filter((one) => !committed.has(one));
  const isOver = isDone || (left !== true && left.length === 0);
  ledger.setAgreement(sync, isOver ? null : JSON.stringify(left));
}
