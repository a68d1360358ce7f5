"""DuckDB's MySQL scanner into one Parquet file."""

import os
import sys
import urllib.parse

import duckdb
import duckdb_extension_mysql_scanner as extension

url, table, _, path = sys.argv[1:]
source = urllib.parse.urlparse(url)
database = source.path.lstrip("/")
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
db.execute(
    f"ATTACH 'host={source.hostname} port={source.port} user={source.username} database={database}'"
    " AS source (TYPE mysql, READ_ONLY)"
)
db.execute(
    f"COPY (SELECT * FROM source.{database}.{table}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
)
