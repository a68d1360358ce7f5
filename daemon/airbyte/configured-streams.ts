/** What a configured catalog asks our sources for, stream by stream. Pure. */
import { isRecordColumn } from "../../connectors/airbyte/change-columns.ts";
import {
  namespaceOf,
  type AirbyteConfiguredCatalog,
  type AirbyteState,
} from "../../connectors/airbyte/messages.ts";
import type { HeldColumns } from "../../proto/control.ts";
import { ExtractError } from "../../proto/error.ts";
import type { StreamChoice } from "../run-messages.ts";
import { parseReadState, type ReadState } from "./read-state.ts";
import { nameTable } from "../../proto/table-name.ts";

export interface ConfiguredStream {
  readonly namespace: string;
  readonly name: string;
  /** Names of columns, in the catalog's order. */
  readonly columns: readonly string[];
  readonly choice: StreamChoice;
  readonly state: ReadState | null;
}

/** Names a stream among others. */
export function keyOf({
  namespace,
  name,
}: {
  readonly namespace: string;
  readonly name: string;
}): string {
  return JSON.stringify([namespace, name]);
}

/** Of which not all columns are wanted, these are. */
export function holdColumns(
  streams: readonly ConfiguredStream[],
): readonly HeldColumns[] {
  return streams
    .filter(({ columns }) => columns.length > 0)
    .map(({ namespace, name, columns }) => ({ namespace, name, columns }));
}

/**
 * @param isLogged incremental streams come from the source's log
 * @throws ExtractError USAGE for what cannot be read so; STATE_INCOMPATIBLE
 */
export function readConfiguredStreams(
  { streams }: AirbyteConfiguredCatalog,
  states: readonly AirbyteState[],
  cursorLagSeconds: number | null,
  isLogged = false,
): readonly ConfiguredStream[] {
  const known = readStreamStates(states);
  const seen = new Set<string>();
  return streams.map(({ stream, sync_mode: syncMode, ...configured }) => {
    const place = { namespace: namespaceOf(stream) ?? "", name: stream.name };
    const label = nameTable(place);
    if (seen.has(keyOf(place)))
      throw new ExtractError("USAGE", `the catalog has ${label} twice`);
    seen.add(keyOf(place));
    const path = configured.cursor_field?.length
      ? configured.cursor_field
      : (stream.default_cursor_field ?? []);
    const [column, below] = path;
    const isIncremental = syncMode === "incremental";
    const isFollowed = isIncremental && isLogged;
    const byCursor = isIncremental && !isLogged;
    if (byCursor && (column === undefined || below !== undefined))
      throw new ExtractError(
        "USAGE",
        `${label} is to be read incrementally: its cursor_field has to name one column`,
        { stream: label },
      );
    const { properties } = stream.json_schema;
    const state = parseReadState(known.get(keyOf(place)), label);
    const isFitting =
      byCursor === (state?.kind === "cursor") &&
      isFollowed === (state?.kind === "log" || state?.kind === "copy");
    if (state && !isFitting)
      throw new ExtractError(
        "STATE_INCOMPATIBLE",
        `the state of ${label} is of another sync mode: clear it, and the stream is read from its beginning`,
        { stream: label },
      );
    return {
      ...place,
      columns: Object.keys(
        typeof properties === "object" && properties !== null ? properties : {},
      ).filter((name) => !isLogged || !isRecordColumn(name)),
      choice: {
        mode: isFollowed
          ? "cdc"
          : byCursor
            ? "incremental-append"
            : "full-refresh-append",
        cursor:
          byCursor && column !== undefined
            ? { column, lagSeconds: cursorLagSeconds }
            : null,
      },
      state,
    };
  });
}

function readStreamStates(
  states: readonly AirbyteState[],
): ReadonlyMap<string, unknown> {
  const found = new Map<string, unknown>();
  for (const { type, stream, global } of states) {
    if (type === "LEGACY")
      throw new ExtractError(
        "STATE_INCOMPATIBLE",
        "a state of the first protocol names no stream: clear it",
      );
    for (const one of [
      ...(stream ? [stream] : []),
      ...(global?.stream_states ?? []),
    ])
      found.set(
        keyOf({
          namespace: namespaceOf(one.stream_descriptor) ?? "",
          name: one.stream_descriptor.name,
        }),
        one.stream_state,
      );
  }
  return found;
}
