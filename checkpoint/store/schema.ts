/**
 * The ledger's tables, as the steps from each version to the next. A step that has been released is never changed: what
 * is to be otherwise is a new LEDGER_VERSION with its own step.
 */

/** "MRLG": what `file` shows and what tells our database from another application's. */
export const LEDGER_APPLICATION_ID = 0x4d_52_4c_47;

/** Times are milliseconds since the Unix epoch; JSON is text; an epoch is a run's attempt, from 1. */
const TABLES_OF_RUNS = `
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

/** For daemons: the queue, what is remembered of syncs by their names, locks of several hosts, and whose host it was. */
const TABLES_OF_DAEMONS = `
-- NULL: of this host, by a Millrace that worked on one host only.
ALTER TABLE attempts ADD COLUMN host TEXT;

CREATE TABLE queue (
  number INTEGER PRIMARY KEY,
  sync TEXT NOT NULL,
  key TEXT,
  state TEXT NOT NULL,
  origin TEXT NOT NULL,
  scope TEXT NOT NULL,
  queued_at INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  run TEXT,
  daemon TEXT,
  epoch INTEGER NOT NULL,
  lease_expires_at INTEGER,
  finished_at INTEGER,
  error TEXT
) STRICT;
CREATE INDEX queue_by_due ON queue (state, due_at, number, sync);
CREATE INDEX queue_by_sync ON queue (sync, state, key);
CREATE INDEX queue_over ON queue (sync, number) WHERE finished_at IS NOT NULL;
CREATE INDEX queue_by_run ON queue (run) WHERE run IS NOT NULL;
-- No two runs of a sync at once, whoever takes them.
CREATE UNIQUE INDEX queue_one_taken ON queue (sync) WHERE state = 'taken';

-- Stays when the entry that took the message in is long gone: a message that comes again is known.
CREATE TABLE queue_messages (
  topic TEXT NOT NULL,
  part INTEGER NOT NULL,
  position TEXT NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (topic, part, position)
) STRICT, WITHOUT ROWID;

-- By the name in the configuration.
CREATE TABLE sync_states (
  name TEXT PRIMARY KEY,
  paused INTEGER NOT NULL DEFAULT 0,
  last_scheduled INTEGER
) STRICT, WITHOUT ROWID;

-- The next run that begins behind this run copies the stream whole, and its commit supersedes what was before.
CREATE TABLE stream_resets (
  sync TEXT NOT NULL REFERENCES syncs (id),
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  after_serial INTEGER NOT NULL,
  PRIMARY KEY (sync, namespace, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE daemon_events (
  serial INTEGER PRIMARY KEY,
  sync TEXT,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  details TEXT NOT NULL
) STRICT;
CREATE INDEX daemon_events_by_sync ON daemon_events (sync, serial);

CREATE TABLE sync_locks (
  sync TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  pid_start TEXT,
  since INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;

const SCHEMA_PAUSES = `
-- Why a sync is paused; NULL: somebody wanted it so. What was agreed to, and no run has committed yet.
ALTER TABLE sync_states ADD COLUMN pause_reason TEXT;
ALTER TABLE sync_states ADD COLUMN agreement TEXT;
`;

const LOGS = `
-- Where a sync stands in its source's log: place (the engine's own) and history belong together.
CREATE TABLE logs (
  sync TEXT PRIMARY KEY REFERENCES syncs (id),
  slot TEXT NOT NULL,
  publication TEXT NOT NULL,
  stage TEXT NOT NULL,
  source_epoch INTEGER NOT NULL,
  identity TEXT,
  position TEXT,
  place TEXT,
  history TEXT
) STRICT, WITHOUT ROWID;

-- Where the log of a run ends, once that is decided.
CREATE TABLE log_ends (
  run TEXT PRIMARY KEY REFERENCES runs (id),
  position TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`;

const TRIGGERS_AGAIN = `
-- Requests of the API that may be sent again: which entry each has become.
CREATE TABLE queue_requests (
  caller TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  number INTEGER NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX queue_requests_by_age ON queue_requests (at);
`;

const LOG_ENTRIES = `
-- Where tables that a run copies come to the log of its sync. Of one that goes on already the run ends there, and the
-- next one goes on from it; a row without a position is of the run that the log was begun by.
CREATE TABLE log_entries (
  run TEXT PRIMARY KEY REFERENCES runs (id),
  position TEXT,
  place TEXT,
  history TEXT
) STRICT, WITHOUT ROWID;
`;

const LOGS_GIVEN_UP = `
-- Why a log was given up; NULL: it was not. Which table's new shape ends a run's log before its time; NULL: none.
ALTER TABLE logs ADD COLUMN given_up TEXT;
ALTER TABLE log_ends ADD COLUMN cut_by TEXT;
`;

const SOURCE_STATES = `
-- What foreign connectors have given as their states, and the checkpoints (JSON of [stream, index] pairs) that each
-- covers. Without a body: the state before it stands.
CREATE TABLE source_states (
  run TEXT NOT NULL REFERENCES runs (id),
  epoch INTEGER NOT NULL,
  part INTEGER NOT NULL,
  scope TEXT,
  stream INTEGER,
  body TEXT,
  members TEXT NOT NULL,
  PRIMARY KEY (run, epoch, part)
) STRICT, WITHOUT ROWID;
`;

/** From version N to N + 1, at N; a new ledger takes all of them. */
export const LEDGER_STEPS: readonly string[] = [
  TABLES_OF_RUNS,
  TABLES_OF_DAEMONS,
  SCHEMA_PAUSES,
  LOGS,
  TRIGGERS_AGAIN,
  LOG_ENTRIES,
  LOGS_GIVEN_UP,
  SOURCE_STATES,
];

export const LEDGER_VERSION = LEDGER_STEPS.length;
