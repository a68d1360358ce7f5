"""ADBC's record batches, written by pyarrow as they come."""

import sys

import adbc_driver_postgresql.dbapi
import pyarrow.parquet

url, table, _, path = sys.argv[1:]
with adbc_driver_postgresql.dbapi.connect(url) as connection:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        batches = cursor.fetch_record_batch()
        with pyarrow.parquet.ParquetWriter(
            path, batches.schema, compression="zstd"
        ) as writer:
            for batch in batches:
                writer.write_batch(batch)
