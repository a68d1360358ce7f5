import { once } from "node:events";
import { resolve } from "node:path";
import {
  findLocalTables,
  findS3Tables,
  type DataTable,
} from "../data-files.ts";
import { toExactJson } from "../exact-json.ts";
import type { OutputOptions } from "../options.ts";
import { output, printNote } from "../print.ts";
import { CAT_ROWS_DEFAULT } from "../program.ts";
import { renderRows, type Row } from "../rows.ts";
import { createPaint, hasColours } from "../terminal.ts";
import { printQuantity } from "../values.ts";

/** Rows that are laid out together; a longer output repeats its titles. */
const ROWS_TOGETHER = 1000;

interface CatOptions extends OutputOptions {
  readonly limit?: number;
}

/** `millrace cat`: rows as they are, of each table below the path. Gives the exit code. */
export async function runCat(
  path: string,
  options: CatOptions,
): Promise<number> {
  const found = /^s3:\/\//i.test(path)
    ? await findS3Tables(path)
    : await findLocalTables(resolve(path));
  const { tables } = found;
  const limit = options.limit ?? CAT_ROWS_DEFAULT;
  try {
    for (const [i, table] of tables.entries()) {
      if (tables.length > 1 && options.json !== true) {
        await writeOut(`${i === 0 ? "" : "\n"}${table.name}`);
      }
      const rows = readTable(table, limit);
      await (options.json === true ? writeJson(rows) : writeText(rows));
      describeDoubts(table);
      if (output.closed) return 0;
    }
    return 0;
  } finally {
    found.close();
  }
}

async function* readTable(
  { files }: DataTable,
  limit: number,
): AsyncGenerator<Row> {
  const { readRows, readRowsOf } =
    await import("../../../connectors/formats/read.ts");
  let left = limit;
  for (const file of files) {
    if (left <= 0) return;
    const options = { limit: left };
    const rows =
      typeof file === "string"
        ? readRows(file, options)
        : readRowsOf(file, options);
    for await (const row of rows) {
      yield row;
      left--;
    }
  }
}

async function writeJson(rows: AsyncIterable<Row>): Promise<void> {
  for await (const row of rows) {
    if (output.closed) return;
    await writeOut(toExactJson(row));
  }
}

async function writeText(rows: AsyncIterable<Row>): Promise<void> {
  const paint = createPaint(hasColours(process.stdout));
  const width = process.stdout.isTTY ? process.stdout.columns : null;
  let together: Row[] = [];
  let count = 0;
  const flush = async () => {
    for (const line of renderRows(together, paint, width)) await writeOut(line);
    together = [];
  };
  for await (const row of rows) {
    if (output.closed) return;
    together.push(row);
    count++;
    if (together.length === ROWS_TOGETHER) await flush();
  }
  await flush();
  if (count === 0) await writeOut("no rows");
}

/** The data goes out as it is; only the reader's pace is minded. */
async function writeOut(line: string): Promise<void> {
  if (output.closed || process.stdout.write(`${line}\n`)) return;
  await Promise.race([once(process.stdout, "drain"), output.whenClosed]);
}

function describeDoubts({ committed, uncounted }: DataTable): void {
  if (!committed) {
    printNote("no manifest here: a run may still be writing these files");
  } else if (uncounted > 0) {
    printNote(
      `${printQuantity(uncounted, "file")} of an unfinished run left out`,
    );
  }
}
