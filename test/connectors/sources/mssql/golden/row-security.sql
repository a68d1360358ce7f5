-- SQL Server documentation, "sys.security_predicates (Transact-SQL)": predicate_type 0 filters; since SQL Server 2016
SELECT DISTINCT r.target_object_id AS id
FROM sys.security_predicates AS r
JOIN sys.security_policies AS p ON p.object_id = r.object_id
WHERE p.is_enabled = 1 AND r.predicate_type = 0
