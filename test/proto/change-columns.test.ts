import { expect, test } from "vitest";
import {
  changeColumns,
  describeChanges,
  withoutChangeColumns,
} from "../../proto/change-columns.ts";
import { buildSchema } from "../fixtures/batches.ts";

const table = buildSchema({ id: "int32", v: "text" }, ["id"]);

test.for([false, true])(
  "a table's changes are told from their description (with transactions: %s) as the table was",
  (transactionId) => {
    const changes = describeChanges(table, transactionId);
    const names = changes.columns.map(({ name }) => name);
    expect(names).toEqual([
      ...["id", "v"],
      ...changeColumns.map(({ name }) => name),
      ...(transactionId ? ["_txid"] : []),
    ]);
    const again = withoutChangeColumns(changes);
    expect(again.columns.map(({ name }) => name)).toEqual(["id", "v"]);
    expect(describeChanges(again, transactionId)).toEqual(changes);
  },
);

test("a column more is another stream", () => {
  const wider = buildSchema({ id: "int32", v: "text", w: "text" }, ["id"]);
  expect(describeChanges(wider).fingerprint).not.toBe(
    describeChanges(table).fingerprint,
  );
});
