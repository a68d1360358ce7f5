-- SQL Server documentation, "sys.objects (Transact-SQL)", "HAS_PERMS_BY_NAME (Transact-SQL)": NULL where the name is not valid, 0 without the permission
SELECT o.object_id AS id, s.name AS [schema], o.name AS name, RTRIM(o.type) AS kind,
  CASE WHEN s.name = SCHEMA_NAME() THEN 1 ELSE 0 END AS isDefault,
  HAS_PERMS_BY_NAME(QUOTENAME(s.name) + N'.' + QUOTENAME(o.name), N'OBJECT', N'SELECT') AS readable
FROM sys.objects AS o
JOIN sys.schemas AS s ON s.schema_id = o.schema_id
WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0
ORDER BY s.name, o.name
