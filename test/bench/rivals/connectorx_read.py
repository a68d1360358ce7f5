"""ConnectorX into an Arrow table over two connections, then pyarrow."""

import sys

import connectorx
import pyarrow.parquet

url, table, column, path = sys.argv[1:]
rows = connectorx.read_sql(
    url,
    f"SELECT * FROM {table}",
    partition_on=column,
    partition_num=2,
    protocol="binary",
    return_type="arrow",
)
pyarrow.parquet.write_table(rows, path, compression="zstd")
