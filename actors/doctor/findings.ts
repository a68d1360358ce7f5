/** What the doctor is asked, and what it says. */

export interface Finding {
  /** `wal_level`, `replica identity of public.orders` … */
  readonly name: string;
  /** `unknown`: it could not be looked at. `note`: worth knowing, and no obstacle. */
  readonly state: "ok" | "missing" | "note" | "unknown";
  /** What was found, for people. */
  readonly detail: string;
  /** Commands or lines of a settings file that mend it; null: there is nothing to mend, or no command for it. */
  readonly remedy: string | null;
}

export interface DoctorRequest {
  /** Null: only what this machine needs. */
  readonly url: string | null;
  /** `schema.table` or patterns as in a sync; empty: all. */
  readonly tables: readonly string[];
  readonly exclude: readonly string[];
}

export interface DoctorAnswer {
  /** What change data capture needs on this machine. */
  readonly machine: readonly Finding[];
  /** What it needs on the source; null: none was asked for. */
  readonly source: readonly Finding[] | null;
}

export function ok(name: string, detail: string): Finding {
  return { name, state: "ok", detail, remedy: null };
}

export function missing(
  name: string,
  detail: string,
  remedy: string | null,
): Finding {
  return { name, state: "missing", detail, remedy };
}

export function note(
  name: string,
  detail: string,
  remedy: string | null = null,
): Finding {
  return { name, state: "note", detail, remedy };
}

export function unknown(name: string, detail: string): Finding {
  return { name, state: "unknown", detail, remedy: null };
}

/** `ok` or `missing`, with what was found either way. */
export function judge(
  isGood: boolean,
  name: string,
  detail: string,
  remedy: string,
): Finding {
  return isGood ? ok(name, detail) : missing(name, detail, remedy);
}
