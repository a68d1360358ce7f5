"""ConnectorX into an Arrow table, over two connections where there is a column to cut by, then pyarrow."""

import sys

import connectorx
import pyarrow.parquet

url, table, column, path = sys.argv[1:]
rows = connectorx.read_sql(
    url,
    f"SELECT * FROM {table}",
    partition_on=column or None,
    partition_num=2 if column else None,
    protocol="binary",
    return_type="arrow",
)
pyarrow.parquet.write_table(rows, path, compression="zstd")
