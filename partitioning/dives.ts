/**
 * Finds the bounds of key ranges by index dives: the piece with the most rows is cut in two, at a key that the server
 * finds in it, until all are small enough to put even ranges together. Pure: a generator that yields questions. It
 * asks at most 3 × CUTS_MAX of them.
 */
import assert from "node:assert/strict";
import type { KeyTuple } from "../proto/partition.ts";
import type { PlanAnswer } from "./questions.ts";
import { atLeastZero } from "./sizing.ts";

/** The largest piece's share of a range: ranges then differ by less than that, where halves alone would differ by two. */
const PIECES_PER_RANGE = 4;
/** Cuts for each piece that is wanted: where keys are sparse, many only find out where there are none. */
const CUTS_PER_PIECE = 8;
/** Cuts of a leaf whatever is wanted of it: a key of 64 bits is halved so many times. */
const CUTS_MIN = 64;
/** Cuts of a leaf, some 6 round trips each. */
export const CUTS_MAX = 4_096;

/** `leaf` is an index into the input's leaves; null bounds are open. */
export type DiveQuestion =
  | {
      /** Rows between two bounds by the server's index statistics. */
      readonly kind: "estimateRange";
      readonly leaf: number;
      readonly start: KeyTuple | null;
      readonly end: KeyTuple | null;
    }
  | {
      /** A key of the range that is not its first one, near its middle as far as can be guessed. */
      readonly kind: "cutRange";
      readonly leaf: number;
      readonly start: KeyTuple | null;
      readonly end: KeyTuple | null;
    };

export type DiveAnswer =
  | { readonly kind: "estimateRange"; readonly rows: number }
  | {
      readonly kind: "cutRange";
      /** Null where none was found. */
      readonly key: KeyTuple | null;
    };

/** A stretch of keys; its start is the end of the one before. */
export interface Piece {
  /** Exclusive; null: open, of the last one. */
  readonly end: KeyTuple | null;
  readonly rows: number;
}

interface OpenPiece extends Piece {
  readonly start: KeyTuple | null;
  /** No key was found to cut it at. */
  readonly whole: boolean;
}

/**
 * Cuts a leaf into pieces, from the lowest keys to the highest; together they are the leaf.
 * @param rows of the leaf, estimated
 * @param rangesWanted how many even ranges are to be made of them
 */
export function* cutByDives(
  leaf: number,
  rows: number,
  rangesWanted: number,
): Generator<DiveQuestion, Piece[], DiveAnswer | PlanAnswer> {
  assert(rangesWanted >= 1);
  let pieces: OpenPiece[] = [
    { start: null, end: null, rows: atLeastZero(rows), whole: false },
  ];
  const piecesWanted = rangesWanted * PIECES_PER_RANGE;
  const cutsMax = Math.min(CUTS_MAX, CUTS_MIN + piecesWanted * CUTS_PER_PIECE);
  for (let cuts = 0; cuts < cutsMax; cuts++) {
    const total = pieces.reduce((sum, piece) => sum + piece.rows, 0);
    const at = findLargest(pieces, Math.max(1, total / piecesWanted));
    const piece = pieces[at];
    if (piece === undefined) break;
    const { start, end } = piece;
    const cut = yield { kind: "cutRange", leaf, start, end };
    assert(cut.kind === "cutRange", "an answer to another question");
    const { key } = cut;
    if (key === null) {
      pieces = pieces.with(at, { ...piece, whole: true });
      continue;
    }
    const parts: OpenPiece[] = [];
    for (const [from, to] of [
      [start, key],
      [key, end],
    ] as const) {
      const asked = { leaf, start: from, end: to };
      const estimate = yield { kind: "estimateRange", ...asked };
      assert(estimate.kind === "estimateRange");
      const found = atLeastZero(estimate.rows);
      parts.push({ start: from, end: to, rows: found, whole: false });
    }
    pieces.splice(at, 1, ...parts);
  }
  return pieces.map((piece) => ({ end: piece.end, rows: piece.rows }));
}

/** The one with the most rows among those that can be cut, -1 where none has more than `enough`. */
function findLargest(pieces: readonly OpenPiece[], enough: number): number {
  let largest = -1;
  let most = enough;
  for (const [i, { rows, whole }] of pieces.entries()) {
    if (!whole && rows > most) [largest, most] = [i, rows];
  }
  return largest;
}

/**
 * Puts neighbours together into at most `rangesWanted` ranges of about equal rows. What comes out are pieces, too: each
 * ends where one of `pieces` did, and the last one is open.
 */
export function groupPieces(
  pieces: readonly Piece[],
  rangesWanted: number,
): Piece[] {
  const total = pieces.reduce((sum, piece) => sum + piece.rows, 0);
  const groups: Piece[] = [];
  let rows = 0;
  let before = 0;
  for (const [i, piece] of pieces.entries()) {
    rows += piece.rows;
    const next = pieces[i + 1];
    const goal = (total * (groups.length + 1)) / rangesWanted;
    const isNear =
      groups.length + 1 < rangesWanted &&
      next !== undefined &&
      // ends here where the next end would be farther from the goal
      Math.abs(goal - rows) <= Math.abs(goal - rows - next.rows);
    if (next !== undefined && !(isNear && rows > before)) continue;
    groups.push({ end: piece.end, rows: rows - before });
    before = rows;
  }
  return groups;
}

/** The ranges that are left when only `bounds`, a subset of the ends, are kept. */
export function keepBounds(
  pieces: readonly Piece[],
  bounds: readonly KeyTuple[],
): Piece[] {
  const kept = new Set(bounds);
  const result: Piece[] = [];
  let rows = 0;
  for (const piece of pieces) {
    rows += piece.rows;
    if (piece.end !== null && !kept.has(piece.end)) continue;
    result.push({ end: piece.end, rows });
    rows = 0;
  }
  return result;
}
