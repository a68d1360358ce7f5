-- SQL Server documentation, "HAS_PERMS_BY_NAME (Transact-SQL)": sub-securable COLUMN
SELECT c.object_id AS id, c.name AS name
FROM sys.columns AS c
JOIN sys.objects AS o ON o.object_id = c.object_id
JOIN sys.schemas AS s ON s.schema_id = o.schema_id
WHERE c.object_id IN ($IDS) AND HAS_PERMS_BY_NAME(
  QUOTENAME(s.name) + N'.' + QUOTENAME(o.name), N'OBJECT', N'SELECT', c.name, N'COLUMN') = 1
