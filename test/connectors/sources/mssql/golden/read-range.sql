-- SQL Server documentation, "Query hints (Transact-SQL)": MAXDOP, RECOMPILE plans for the parameters' values; "ORDER BY clause": only it orders
SELECT t.[Id], t.[HireDate] FROM [dbo].[Employees] AS t WHERE t.[HireDate] >= CONVERT(date, @p1, 23) AND t.[HireDate] < CONVERT(date, @p2, 23) ORDER BY t.[HireDate] OPTION (MAXDOP 1, RECOMPILE)
