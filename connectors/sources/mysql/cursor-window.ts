import { createCursorWindowReader } from "../cursor-window.ts";
import { readCursorBounds } from "./cursor.ts";
import { buildRepeatFilter, readMovedRows } from "./repeats.ts";

/** To be called inside of the run's snapshot. */
export const readCursorWindow = createCursorWindowReader({
  readCursorBounds,
  readMovedRows,
  buildRepeatFilter,
});
