import type { Discovery } from "../../connectors/sources/source.ts";
import { errorCodes } from "../../proto/error.ts";
import { describeError, printNote, printWarning } from "./print.ts";
import { createPaint, hasColours } from "./terminal.ts";
import { nameTable } from "../../proto/table-name.ts";

/** Passes warnings on and names the tables that were chosen and cannot be read. Gives the exit code: 0 without any. */
export function reportProblems({ problems, warnings }: Discovery): number {
  for (const warning of warnings) printWarning(warning);
  const paint = createPaint(hasColours(process.stderr));
  for (const { namespace, name, code, message } of problems) {
    const details = { table: nameTable({ namespace, name }) };
    printNote(describeError({ code, message, details }, paint));
  }
  const first = problems[0];
  return first === undefined ? 0 : errorCodes[first.code].exitCode;
}
