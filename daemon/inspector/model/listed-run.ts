/** A run in the list of those that can be looked at. Times are milliseconds since the Unix epoch. */
export interface ListedRun {
  readonly runId: string;
  readonly sync: string | null;
  readonly state: string;
  readonly isLive: boolean;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly records: number;
  readonly rows: number | null;
  readonly error: string | null;
}
