/** What the processes of one run may take of the machine. */

export interface RunLimits {
  /** Resident bytes of source and destination together; null: no limit. */
  readonly memoryBytes: number | null;
  /** CPUs that the two share; null: all that this process may use. */
  readonly cpus: number | null;
}

export const noLimits: RunLimits = { memoryBytes: null, cpus: null };

/** Two processes take about half of it before they have read a row. */
export const MEMORY_BYTES_MIN = 256 * 1024 * 1024;
export const MEMORY_BYTES_MAX = 16 * 1024 ** 4;
export const CPUS_MAX = 4_096;

export function hasLimits({ memoryBytes, cpus }: RunLimits): boolean {
  return memoryBytes !== null || cpus !== null;
}
