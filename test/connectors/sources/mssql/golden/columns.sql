-- SQL Server documentation, "sys.columns (Transact-SQL)", "sys.types (Transact-SQL)": a system type has the same user_type_id and system_type_id;
-- "COLLATIONPROPERTY (Transact-SQL)": CodePage. Types of the common language runtime share system_type_id 240, which is none of sys.types
SELECT c.object_id AS id, c.name AS name, t.name AS typeName, b.name AS baseType,
  t.is_assembly_type AS isClr, c.max_length AS maxLength, c.precision AS precision, c.scale AS scale,
  c.is_nullable AS nullable, c.collation_name AS collation,
  CASE WHEN c.collation_name IS NOT NULL
    THEN CAST(COLLATIONPROPERTY(c.collation_name, 'CodePage') AS int) END AS codePage
FROM sys.columns AS c
JOIN sys.types AS t ON t.user_type_id = c.user_type_id
LEFT JOIN sys.types AS b ON b.user_type_id = c.system_type_id
WHERE c.object_id IN ($IDS) AND c.is_column_set = 0
ORDER BY c.object_id, c.column_id
