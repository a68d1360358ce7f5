import { describe, expect, test } from "vitest";
import { DelimitedMessages } from "../../../../connectors/airbyte/lines.ts";
import { JsonRecordEncoder } from "../../../../connectors/airbyte/record-json/encoder.ts";
import { ProtobufRecordEncoder } from "../../../../connectors/airbyte/record-protobuf/encoder.ts";
import { ChangeRecords } from "../../../../connectors/destinations/airbyte/change-records.ts";
import { ProtobufRecord } from "../../../../connectors/sources/airbyte/protobuf-records.ts";
import { describeChanges } from "../../../../proto/change-columns.ts";
import type { ChangeRecordNames } from "../../../../proto/control.ts";
import {
  formatFileCommit,
  formatPosition,
} from "../../../../proto/log-position.ts";
import {
  buildBatch,
  buildSchema,
  type TestRow,
} from "../../../fixtures/batches.ts";

const stream = describeChanges(buildSchema({ id: "int32", name: "text" }));
/** 2026-01-01T00:00:00.000001Z */
const AT = 1_767_225_600_000_001n;
const TIME = "2026-01-01T00:00:00.000001Z";
const LSN = 0x16_b374_d848n;

const postgres: ChangeRecordNames = {
  connector: "postgresql",
  logFile: null,
  columns: null,
};

function at(commit: bigint, number: number): string {
  return formatPosition({
    epoch: 1,
    commit: commit.toString(16).padStart(20, "0"),
    number,
  });
}

/** The records of the rows, as objects. */
function encode(
  names: ChangeRecordNames,
  rows: readonly TestRow[],
): Record<string, unknown>[] {
  const records = new ChangeRecords(stream, names, "jsonl");
  const encoder = new JsonRecordEncoder(records.schema, "meta");
  encoder.begin({ partitionId: null, emittedAt: 5 });
  const text = Buffer.concat(
    encoder.encode(records.project(buildBatch(stream, rows))),
  ).toString();
  return text
    .trimEnd()
    .split("\n")
    .map(
      (line) =>
        (JSON.parse(line) as { record: Record<string, unknown> }).record,
    );
}

describe("changes as records", () => {
  test("say where and when, and of a deletion that it is one", () => {
    const [inserted, deleted] = encode(postgres, [
      [1, "one", "c", at(LSN, 1), AT, false, "[]", null],
      [2, null, "d", at(LSN, 2), AT, true, '["name"]', null],
    ]);
    expect(inserted).toEqual({
      stream: "rows",
      namespace: "public",
      emitted_at: 5,
      data: {
        id: 1,
        name: "one",
        _ab_cdc_lsn: Number(LSN),
        _ab_cdc_updated_at: TIME,
        _ab_cdc_deleted_at: null,
        _ab_cdc_cursor: at(LSN, 1),
      },
      meta: null,
    });
    expect(deleted).toMatchObject({
      data: { id: 2, name: null, _ab_cdc_deleted_at: TIME },
      meta: null,
    });
  });

  test("say which values the log has not told", () => {
    const [updated, other] = encode(postgres, [
      [1, null, "u", at(LSN, 1), AT, false, '["na\\"me"]', null],
      [2, null, "u", at(LSN, 2), AT, false, "[]", null],
    ]);
    expect(updated?.["meta"]).toEqual({
      changes: [
        {
          field: 'na"me',
          change: "NULLED",
          reason: "SOURCE_RETRIEVAL_ERROR",
        },
      ],
    });
    expect(other?.["meta"]).toBeNull();
  });

  test("say the same by protobuf, beside the values and not among them", () => {
    const records = new ChangeRecords(stream, postgres, "protobuf");
    const encoder = new ProtobufRecordEncoder(records.schema, true);
    encoder.begin({ partitionId: "1-0", emittedAt: 5 });
    const batch = buildBatch(stream, [
      [1, null, "u", at(LSN, 1), AT, false, '["na\\"me"]', null],
      [2, "two", "c", at(LSN, 2), AT, false, "[]", null],
      [3, null, "u", at(LSN, 3), AT, false, '["id","name"]', null],
    ]);
    const bytes = Buffer.concat(encoder.encode(records.project(batch)));
    const record = new ProtobufRecord(2);
    const found = [...new DelimitedMessages(1_000).cut(bytes)].map(
      (envelope) => {
        expect(record.read(envelope)).toBe("record");
        return [record.partitionId, record.changes];
      },
    );
    const unsent = (field: string) => ({
      ...{ field, change: "NULLED", reason: "SOURCE_RETRIEVAL_ERROR" },
    });
    expect(found).toEqual([
      ["1-0", [unsent('na"me')]],
      ["1-0", []],
      ["1-0", [unsent("id"), unsent("name")]],
    ]);
  });

  test("name the files of a binlog as its server does, and leave columns out that nobody wants", () => {
    const commit = BigInt(`0x${formatFileCommit(1_234_567, 345n)}`);
    const [first, second] = encode(
      { connector: "mysql", logFile: "db-bin.000012", columns: ["name"] },
      [
        [1, "one", "r", at(commit, 0), AT, false, "[]", null],
        [
          ...[2, "two", "c"],
          at(BigInt(`0x${formatFileCommit(13, 4n)}`), 1),
          ...[AT, false, "[]", null],
        ],
      ],
    );
    expect(first?.["data"]).toMatchObject({
      _ab_cdc_log_file: "db-bin.1234567",
      _ab_cdc_log_pos: 345,
    });
    expect(second?.["data"]).toEqual({
      name: "two",
      _ab_cdc_log_file: "db-bin.000013",
      _ab_cdc_log_pos: 4,
      _ab_cdc_updated_at: TIME,
      _ab_cdc_deleted_at: null,
      _ab_cdc_cursor: expect.any(String) as unknown,
    });
  });

  test("of a table that was emptied are refused: the protocol has no word for it", () => {
    expect(() =>
      encode(postgres, [[null, null, "t", at(LSN, 1), AT, true, "[]", null]]),
    ).toThrow(/TRUNCATE.*clear the stream/);
  });
});
