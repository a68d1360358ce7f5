-- SQL Server documentation, "sys.dm_db_stats_histogram (Transact-SQL)": range_high_key is sql_variant, range_rows excludes the upper bound, equal_rows counts it;
-- since SQL Server 2016 SP1 CU2; needs SELECT on the columns of the statistics. The statistics of an index have its number
SELECT h.step_number AS step, $KEY AS [key],
  CAST(h.range_rows + h.equal_rows AS float) AS [rows]
FROM sys.dm_db_stats_histogram($ID, $INDEX) AS h
WHERE h.range_high_key IS NOT NULL
ORDER BY h.step_number
