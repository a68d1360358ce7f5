-- SQL Server documentation, "FROM clause plus JOIN, APPLY, PIVOT (Transact-SQL)": TABLESAMPLE; "DATALENGTH (Transact-SQL)"
SELECT CAST(COUNT_BIG(*) AS float) AS [rows], AVG(CAST(COALESCE(DATALENGTH(t.[Region]), 0) + COALESCE(DATALENGTH(t.[Sold]), 0) AS float)) AS bytesPerRow
FROM [dbo].[Employees] AS t TABLESAMPLE SYSTEM (0.256000 PERCENT) REPEATABLE (1)
