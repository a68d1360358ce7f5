-- SQL Server documentation, "sys.dm_tran_active_transactions (Transact-SQL)", "sys.dm_tran_database_transactions (Transact-SQL)": need VIEW SERVER STATE
SELECT CAST(COALESCE(MAX(DATEDIFF(second, a.transaction_begin_time, GETDATE())), 0) AS float) AS oldestSeconds
FROM sys.dm_tran_active_transactions AS a
JOIN sys.dm_tran_database_transactions AS d ON d.transaction_id = a.transaction_id
WHERE d.database_id = DB_ID() AND d.database_transaction_begin_time IS NOT NULL
