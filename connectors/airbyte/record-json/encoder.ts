/**
 * Rows as RECORD messages, one JSON object a line: the values as the JSON lines of files have them, around them what
 * the protocol wants, which is made once for many rows.
 */
import type { StreamSchema } from "../../../proto/schema.ts";
import { createJsonWriter } from "../../formats/jsonl/encoder.ts";
import { RowEncoder } from "../../formats/text/row-encoder.ts";
import type { RecordEncoder, RecordFrame } from "../record-encoder.ts";

const utf8 = new TextEncoder();
const nothing = new Uint8Array(0);

export class JsonRecordEncoder extends RowEncoder implements RecordEncoder {
  readonly #stream: Pick<StreamSchema, "namespace" | "name">;

  constructor(schema: StreamSchema) {
    super(
      {
        header: nothing,
        rowStart: nothing,
        prefixes: schema.columns.map(({ name }, i) =>
          utf8.encode(`${i === 0 ? "" : ","}${JSON.stringify(name)}:`),
        ),
        nullText: utf8.encode("null"),
        rowEnd: nothing,
      },
      schema.columns.map(createJsonWriter),
      "none",
    );
    this.#stream = schema;
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
      utf8.encode("}}}\n"),
    );
  }
}
