-- SQL Server documentation, "sys.masked_columns (Transact-SQL)", "Dynamic data masking": UNMASK; since SQL Server 2016
SELECT m.object_id AS id, m.name AS name
FROM sys.masked_columns AS m
WHERE m.is_masked = 1 AND HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'UNMASK') = 0
