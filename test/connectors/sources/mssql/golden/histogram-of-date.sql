-- SQL Server documentation, "sys.dm_db_stats_histogram (Transact-SQL)", "CAST and CONVERT (Transact-SQL)": style 23
SELECT h.step_number AS step, CONVERT(nvarchar(60), CONVERT(date, h.range_high_key), 23) AS [key],
  CAST(h.range_rows + h.equal_rows AS float) AS [rows]
FROM sys.dm_db_stats_histogram(42, 1) AS h
WHERE h.range_high_key IS NOT NULL
ORDER BY h.step_number
