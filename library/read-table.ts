/** One table, from a URL to its rows: opened when it is first asked for a row, closed with the last one. */
import { openSource } from "./open-source.ts";
import { checkReadOptions } from "./options.ts";
import type {
  ReadTableOptions,
  TableBatch,
  TableReader,
  TableRow,
} from "./types.ts";

/**
 * `for await (const row of readTable(url, "orders")) …`. Each iteration connects, and sees the table as it is then.
 * @throws ExtractError from the iteration: as `openSource`, and SOURCE_* for what befalls the reading
 */
export function readTable<Row extends object = TableRow>(
  url: string,
  table: string,
  options: ReadTableOptions = {},
): TableReader<Row> {
  const { columns, ...reading } = options;
  checkReadOptions(options);
  async function* batches(): AsyncGenerator<TableBatch<Row>, void, undefined> {
    const { signal, unrepresentable } = reading;
    const source = await openSource(url, {
      ...{ tables: [table], connections: 1 },
      ...(columns ? { columns } : {}),
      ...(signal ? { signal } : {}),
      ...(unrepresentable ? { unrepresentable } : {}),
    });
    try {
      yield* source.table<Row>(table, reading).batches();
    } finally {
      await source.close();
    }
  }
  return {
    batches,
    async *[Symbol.asyncIterator]() {
      for await (const batch of batches()) yield* batch.rows();
    },
  };
}
