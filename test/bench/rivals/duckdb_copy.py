"""DuckDB's postgres scanner into one Parquet file."""

import os
import sys

import duckdb
import duckdb_extension_postgres_scanner as extension

url, table, _, path = sys.argv[1:]
db = duckdb.connect()
db.execute("SET threads = 2")
# two threads write in whatever order they finish
db.execute("SET preserve_insertion_order = false")
folder = os.path.dirname(extension.__file__)
[file] = [
    os.path.join(root, name)
    for root, _, names in os.walk(folder)
    for name in names
    if name.endswith(".duckdb_extension")
]
db.execute(f"LOAD '{file}'")
db.execute(f"ATTACH '{url}' AS source (TYPE postgres, READ_ONLY)")
db.execute(
    f"COPY (SELECT * FROM source.public.{table}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
)
