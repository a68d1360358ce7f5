-- SQL Server documentation, "FROM clause plus JOIN, APPLY, PIVOT (Transact-SQL)": TABLESAMPLE SYSTEM takes whole pages, REPEATABLE the same ones
SELECT CAST(COUNT_BIG(*) AS float) AS seen,
  CAST(SUM(CASE WHEN (Region <> 'x'
) THEN 1 ELSE 0 END) AS float) AS passed
FROM [dbo].[Employees] AS t TABLESAMPLE SYSTEM (0.256000 PERCENT) REPEATABLE (1)
