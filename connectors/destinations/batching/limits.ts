/** The bounds of a batch, as every destination that writes rows lets them be set. No schema library here. */

export const BATCH_ROWS_MAX_DEFAULT = 50_000;
export const BATCH_BYTES_MAX_DEFAULT = 4 * 1024 * 1024;
export const BATCH_DELAY_MS_DEFAULT = 1_000;

export const BATCH_ROWS_MOST = 10_000_000;
export const BATCH_BYTES_LEAST = 1_024;
export const BATCH_BYTES_MOST = 256 * 1024 * 1024;
export const BATCH_DELAY_MS_MOST = 3_600_000;
