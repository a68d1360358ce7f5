-- SQL Server documentation, "SYSUTCDATETIME (Transact-SQL)"
SELECT CONVERT(nvarchar(40), SYSUTCDATETIME(), 121) + N' +00:00' AS measuredAt
