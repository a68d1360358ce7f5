/** Writes the table of a crash test, telling on stdout after each checkpoint how many rows are durable. */
import * as fs from "node:fs";

import type { FormatName } from "../../../../connectors/formats/format.ts";
import { makeLedger, runAttempt } from "./attempt.ts";
import type { Table } from "./attempt.ts";
import { makeConfig } from "./table.ts";

const { root, format, fileBytesMax, table } = JSON.parse(
  process.argv[2] ?? "",
) as {
  root: string;
  format: FormatName;
  fileBytesMax: number;
  table: Table;
};
const config = makeConfig(root, format, fileBytesMax);
await runAttempt(config, makeLedger(1), table, (rows) =>
  fs.writeSync(1, `${rows}\n`),
);
fs.writeSync(1, "committed\n");
