/** What a trigger narrows a run to: checked where it comes in, united where triggers coalesce, and applied to a request. */
import { ExtractError } from "../../proto/error.ts";
import { isIncremental, type Narrowing, type SyncRequest } from "../request.ts";
import type { KeyRange, RunScope } from "./types.ts";

const STREAMS_MAX = 10_000;
const RANGES_MAX = 1_000;
const NAME_LENGTH_MAX = 512;
const VALUE_LENGTH_MAX = 4_096;

export const wholeScope: RunScope = {
  streams: null,
  ranges: null,
  window: null,
};

export function isWhole({ streams, ranges, window }: RunScope): boolean {
  return streams === null && ranges === null && window === null;
}

/** @throws ExtractError TRIGGER_INVALID naming what is wrong, also where a narrowed run would destroy what it leaves out */
export function checkScope(
  scope: RunScope,
  request: Pick<SyncRequest, "mode" | "cursor">,
): void {
  const { streams, ranges, window } = scope;
  if (request.mode === "cdc" && !isWhole(scope))
    throw invalid(
      "a run that follows the log has all of its sync's streams, since the log is one for all of them",
    );
  if (streams !== null) checkStreams(streams);
  if (ranges !== null) checkRanges(ranges);
  if (window !== null) checkWindow(window, request);
  if (window !== null && ranges !== null)
    throw invalid("a run has a window or ranges, not both");
  if (ranges === null && window === null) return;
  if (request.mode === "full-refresh-overwrite")
    throw invalid(
      "a run of some rows would replace the table by them: full-refresh-overwrite takes streams only",
    );
}

function checkStreams(streams: readonly string[]): void {
  if (streams.length === 0 || streams.length > STREAMS_MAX)
    throw invalid(`streams are 1 to ${STREAMS_MAX} patterns`);
  for (const stream of streams) checkName("a stream", stream);
}

function checkRanges(ranges: readonly KeyRange[]): void {
  if (ranges.length === 0 || ranges.length > RANGES_MAX)
    throw invalid(`ranges are 1 to ${RANGES_MAX}`);
  for (const { stream, column, from, until } of ranges) {
    checkName("a range's stream", stream);
    checkName("a range's column", column);
    if (from === null && until === null)
      throw invalid(`the range of ${stream}.${column} has no bound`);
    checkValue(from);
    checkValue(until);
  }
}

function checkWindow(
  { from, to }: NonNullable<RunScope["window"]>,
  { mode, cursor }: Pick<SyncRequest, "mode" | "cursor">,
): void {
  if (!isIncremental(mode) || cursor === null)
    throw invalid(`a window is of a cursor, and the mode is ${mode}`);
  if (from === null && to === null) throw invalid("the window has no bound");
  checkValue(from);
  checkValue(to);
}

function checkName(what: string, name: string): void {
  if (name === "" || name.length > NAME_LENGTH_MAX || name.includes("\0"))
    throw invalid(
      `${what} has 1 to ${NAME_LENGTH_MAX} characters, none of them NUL`,
    );
}

function checkValue(value: string | null): void {
  if (value === null) return;
  if (value.length > VALUE_LENGTH_MAX || value.includes("\0"))
    throw invalid(
      `a bound has at most ${VALUE_LENGTH_MAX} characters, none of them NUL`,
    );
}

function invalid(words: string): ExtractError {
  return new ExtractError("TRIGGER_INVALID", words);
}

/** As the ledger holds them: equal scopes have equal texts, whatever order their parts came in. */
export function writeScope({ streams, ranges, window }: RunScope): string {
  return JSON.stringify({
    streams: streams && [...new Set(streams)].sort(),
    ranges: ranges && sortRanges(ranges),
    window: window && { from: window.from, to: window.to },
  });
}

export function readScope(scopeJson: string): RunScope {
  return JSON.parse(scopeJson) as RunScope;
}

function sortRanges(ranges: readonly KeyRange[]): KeyRange[] {
  const texts = ranges.map(({ stream, column, from, until }) =>
    JSON.stringify({ stream, column, from, until }),
  );
  return [...new Set(texts)].sort().map((text) => JSON.parse(text) as KeyRange);
}

/**
 * The scope of one run that moves what two would; null where there is none. Rows of a range or a window are no part of
 * what an incremental run of all streams moves, so those are united with their like only.
 */
export function uniteScopes(
  waitingJson: string,
  addedJson: string,
): string | null {
  const [a, b] = [readScope(waitingJson), readScope(addedJson)];
  const hasWindow = a.window !== null || b.window !== null;
  if (hasWindow && JSON.stringify(a.window) !== JSON.stringify(b.window))
    return null;
  if (a.ranges === null && b.ranges === null)
    return writeScope({ ...a, streams: uniteStreams(a, b) });
  const areOfRanges = [a, b].every(
    ({ streams, ranges }) => streams === null && ranges !== null,
  );
  if (!areOfRanges || hasWindow) return null;
  const ranges = [...(a.ranges ?? []), ...(b.ranges ?? [])];
  if (ranges.length > RANGES_MAX) return null;
  return writeScope({ ...wholeScope, ranges });
}

function uniteStreams(a: RunScope, b: RunScope): readonly string[] | null {
  return a.streams === null || b.streams === null
    ? null
    : [...a.streams, ...b.streams];
}

export function narrowRequest(
  request: SyncRequest,
  scope: RunScope,
): SyncRequest {
  if (isWhole(scope)) return request;
  const { streams, ranges, window } = scope;
  const narrowing: Narrowing = {
    // without more said, ranges mean their own streams only
    streams: streams ?? ranges?.map(({ stream }) => stream) ?? null,
    ranges: ranges ?? [],
    window,
  };
  return { ...request, narrowing };
}
