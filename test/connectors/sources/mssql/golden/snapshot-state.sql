-- SQL Server documentation, "sys.databases (Transact-SQL)": snapshot_isolation_state 1 is ON, 2 and 3 are in transition
SELECT d.snapshot_isolation_state AS snapshotState,
  d.is_read_committed_snapshot_on AS committedSnapshot
FROM sys.databases AS d
WHERE d.name = DB_NAME()
