-- SQL Server documentation, "ORDER BY clause (Transact-SQL)": NULL values are the lowest
SELECT t.[Id], t.[HireDate] FROM [dbo].[Employees] AS t WHERE (t.[HireDate] < CONVERT(date, @p1, 23) OR t.[HireDate] IS NULL) ORDER BY t.[HireDate] OPTION (MAXDOP 1, RECOMPILE)
