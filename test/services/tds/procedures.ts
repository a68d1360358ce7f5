/** Which procedure a call means, and what its parameters are called. */
import type { Parameter } from "./wire/requests.ts";

/** The special procedures, by number. @see [MS-TDS] 2.2.6.6 "RPC Request" */
const procedures: Record<number, string> = {
  10: "sp_executesql",
  11: "sp_prepare",
  12: "sp_execute",
  13: "sp_prepexec",
  15: "sp_unprepare",
};

export function findProcedure(procedure: string | number): string {
  if (typeof procedure === "number")
    return procedures[procedure] ?? `procedure ${procedure}`;
  return procedure.replace(/^(sys|dbo|master)\./i, "").toLowerCase();
}

/** Parameters without names take those of the declaration, in its order. */
export function nameParameters(
  declaration: string,
  parameters: readonly Parameter[],
): Parameter[] {
  const names = [...declaration.matchAll(/@[\w@#$]+/g)].map(([name]) => name);
  return parameters.map((parameter, i) => ({
    ...parameter,
    name: parameter.name === "" ? (names[i] ?? `@P${i + 1}`) : parameter.name,
  }));
}
