/**
 * Rows as RECORD messages, one JSON object a line: the values as the JSON lines of files have them, around them what
 * the protocol wants, which is made once for many rows.
 */
import type { StreamSchema } from "../../../proto/schema.ts";
import { createJsonWriter } from "../../formats/jsonl/encoder.ts";
import { RowEncoder } from "../../formats/text/row-encoder.ts";
import { findFileColumn } from "../file-reference.ts";
import type { RecordEncoder, RecordFrame } from "../record-encoder.ts";

const utf8 = new TextEncoder();
const nothing = new Uint8Array(0);

/** The last column where it is no value of its record, and stands behind them; null: it is one. */
type LastMember = "meta" | "file_reference" | null;

function findLastMember(schema: StreamSchema): LastMember {
  return findFileColumn(schema) === schema.columns.length - 1
    ? "file_reference"
    : null;
}

export class JsonRecordEncoder extends RowEncoder implements RecordEncoder {
  readonly #stream: Pick<StreamSchema, "namespace" | "name">;
  readonly #rowEnd: Uint8Array;

  constructor(schema: StreamSchema, last: LastMember = findLastMember(schema)) {
    super(
      {
        header: nothing,
        rowStart: nothing,
        prefixes: schema.columns.map(({ name }, i) =>
          utf8.encode(
            last !== null && i === schema.columns.length - 1
              ? `},${JSON.stringify(last)}:`
              : `${i === 0 ? "" : ","}${JSON.stringify(name)}:`,
          ),
        ),
        nullText: utf8.encode("null"),
        rowEnd: nothing,
      },
      schema.columns.map(createJsonWriter),
      "none",
    );
    this.#stream = schema;
    this.#rowEnd = utf8.encode(last === null ? "}}}\n" : "}}\n");
  }

  begin({ partitionId, emittedAt }: RecordFrame): void {
    const { namespace, name } = this.#stream;
    const members = {
      stream: name,
      ...(namespace === "" ? {} : { namespace }),
      emitted_at: emittedAt,
      ...(partitionId === null ? {} : { partition_id: partitionId }),
    };
    // `{"stream":…` goes on with the values
    const begun = JSON.stringify(members).slice(0, -1);
    this.surround(
      utf8.encode(`{"type":"RECORD","record":${begun},"data":{`),
      this.#rowEnd,
    );
  }
}
