-- SQL Server documentation, "sys.indexes (Transact-SQL)": type 0 heap, 1 clustered, 2 nonclustered, 5 clustered columnstore;
-- "sys.index_columns (Transact-SQL)": key_ordinal 0 is an included column
SELECT i.object_id AS id, i.index_id AS indexId, i.name AS name, i.type AS type,
  i.is_unique AS isUnique, i.is_primary_key AS isPrimary, c.name AS columnName,
  ic.is_descending_key AS isDescending
FROM sys.indexes AS i
LEFT JOIN sys.index_columns AS ic
  ON ic.object_id = i.object_id AND ic.index_id = i.index_id AND ic.key_ordinal > 0
LEFT JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE i.object_id IN ($IDS) AND i.is_disabled = 0 AND i.is_hypothetical = 0 AND i.has_filter = 0
ORDER BY i.object_id, i.index_id, ic.key_ordinal
