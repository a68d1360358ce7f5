-- SQL Server documentation, "FROM clause plus JOIN, APPLY, PIVOT (Transact-SQL)": TABLESAMPLE; "ROW_NUMBER (Transact-SQL)"
SELECT k1, k2 FROM (
  SELECT CONVERT(nvarchar(4000), t.[Region]) AS k1, CONVERT(nvarchar(60), t.[Sold], 121) AS k2, ROW_NUMBER() OVER (ORDER BY t.[Region], t.[Sold]) AS n,
    COUNT(*) OVER () AS total
  FROM [dbo].[Employees] AS t TABLESAMPLE SYSTEM (1.072000 PERCENT) REPEATABLE (1)
  WHERE t.[Region] IS NOT NULL
) AS numbered
WHERE n * 600 / total > (n - 1) * 600 / total
ORDER BY n
