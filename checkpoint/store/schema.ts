/** The ledger's tables. A change of this text is a new LEDGER_VERSION with its own step from the version before. */

/** "MRLG": what `file` shows and what tells our database from another application's. */
export const LEDGER_APPLICATION_ID = 0x4d_52_4c_47;

export const LEDGER_VERSION = 1;

/** Times are milliseconds since the Unix epoch; JSON is text; an epoch is a run's attempt, from 1. */
export const LEDGER_SCHEMA = `
CREATE TABLE ledger (id TEXT NOT NULL) STRICT;

CREATE TABLE syncs (
  id TEXT PRIMARY KEY,
  name TEXT,
  source TEXT NOT NULL,
  destination TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  serial INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  sync TEXT NOT NULL REFERENCES syncs (id),
  mode TEXT NOT NULL,
  state TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  request TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  finished_at INTEGER,
  error TEXT
) STRICT;
CREATE INDEX runs_by_sync ON runs (sync, serial);

CREATE TABLE attempts (
  run TEXT NOT NULL REFERENCES runs (id),
  epoch INTEGER NOT NULL,
  pid INTEGER NOT NULL,
  pid_start TEXT,
  run_dir TEXT NOT NULL,
  began_at INTEGER NOT NULL,
  PRIMARY KEY (run, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE processes (
  run TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  role TEXT NOT NULL,
  pid INTEGER NOT NULL,
  pid_start TEXT,
  PRIMARY KEY (run, epoch, role, pid),
  FOREIGN KEY (run, epoch) REFERENCES attempts (run, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE generations (
  sync TEXT NOT NULL REFERENCES syncs (id),
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  generation INTEGER NOT NULL,
  state TEXT NOT NULL,
  run TEXT REFERENCES runs (id),
  PRIMARY KEY (sync, namespace, name, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE streams (
  run TEXT NOT NULL REFERENCES runs (id),
  number INTEGER NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  discovered TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  generation INTEGER NOT NULL,
  mode TEXT NOT NULL,
  cursor_window TEXT,
  state TEXT NOT NULL,
  error TEXT,
  plan_version INTEGER NOT NULL DEFAULT 0,
  plan TEXT,
  PRIMARY KEY (run, number),
  UNIQUE (run, namespace, name)
) STRICT, WITHOUT ROWID;

-- An ordinal is never used again: a new plan takes higher ones, and the old rows stay as intents of files to remove.
CREATE TABLE partitions (
  run TEXT NOT NULL,
  stream INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  superseded_epoch INTEGER,
  relation TEXT NOT NULL,
  only_relation INTEGER NOT NULL,
  split TEXT NOT NULL,
  estimated_rows REAL NOT NULL,
  estimated_bytes REAL NOT NULL,
  PRIMARY KEY (run, stream, ordinal),
  FOREIGN KEY (run, stream) REFERENCES streams (run, number)
) STRICT, WITHOUT ROWID;

-- Dropped rows stay: a checkpoint that the destination finds again must not come back to life.
CREATE TABLE durable (
  run TEXT NOT NULL,
  stream INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  partition INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  position TEXT,
  rows INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  last INTEGER NOT NULL,
  files TEXT NOT NULL,
  dropped_epoch INTEGER,
  PRIMARY KEY (run, stream, epoch, idx),
  UNIQUE (run, stream, partition, epoch, attempt, sequence),
  FOREIGN KEY (run, stream, partition) REFERENCES partitions (run, stream, ordinal)
) STRICT, WITHOUT ROWID;

-- The last state of each epoch is all that is needed: states are cumulative.
CREATE TABLE released (
  run TEXT NOT NULL,
  stream INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  rows INTEGER NOT NULL,
  state TEXT NOT NULL,
  PRIMARY KEY (run, stream, epoch),
  FOREIGN KEY (run, stream) REFERENCES streams (run, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursor_states (
  sync TEXT NOT NULL REFERENCES syncs (id),
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  run TEXT NOT NULL REFERENCES runs (id),
  PRIMARY KEY (sync, namespace, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots (
  serial INTEGER PRIMARY KEY,
  run TEXT NOT NULL REFERENCES runs (id),
  epoch INTEGER NOT NULL,
  id TEXT NOT NULL,
  visible TEXT NOT NULL,
  keeper_pid INTEGER NOT NULL,
  keeper_start TEXT,
  keeper_socket TEXT NOT NULL
) STRICT;
CREATE INDEX snapshots_by_run ON snapshots (run, serial);

CREATE TABLE events (
  serial INTEGER PRIMARY KEY,
  run TEXT NOT NULL REFERENCES runs (id),
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  details TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_run ON events (run, serial);
`;
