-- SQL Server documentation, "sys.dm_db_partition_stats (Transact-SQL)": needs VIEW DATABASE STATE; pages of 8 KB
SELECT p.object_id AS id, CAST(SUM(p.row_count) AS float) AS [rows],
  CAST(SUM(p.in_row_data_page_count) AS float) AS pages,
  CAST(SUM(p.lob_used_page_count + p.row_overflow_used_page_count) AS float) AS largePages
FROM sys.dm_db_partition_stats AS p
WHERE p.object_id IN ($IDS) AND p.index_id IN (0, 1, 5)
GROUP BY p.object_id
