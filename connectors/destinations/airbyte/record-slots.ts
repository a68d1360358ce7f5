/**
 * The encoders of one stream on one channel: two, so that a batch is encoded while the one before is on its way. Column
 * batches are not encoded and lend their own buffers.
 */
import { strict as assert } from "node:assert";
import type { ColumnBatch } from "../../../proto/columns.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import { encodeColumnBatch, encodeColumns } from "../../airbyte/columnar.ts";
import type { RecordEncoder } from "../../airbyte/record-encoder.ts";
import { JsonRecordEncoder } from "../../airbyte/record-json/encoder.ts";
import { ProtobufRecordEncoder } from "../../airbyte/record-protobuf/encoder.ts";
import type { ChangeRecordNames } from "../../../proto/control.ts";
import { ChangeRecords } from "./change-records.ts";
import type { ChannelFormat } from "../../airbyte/message-bytes.ts";
import type { RecordOutput } from "../../airbyte/message-output.ts";

const ENCODERS = 2;
const SCHEMA_VERSION = 1;

/** Rows that one state covers. */
export interface Segment {
  readonly partition: number;
  /** What its records are called by; null: they are not. */
  readonly partitionId: string | null;
  readonly emittedAt: number;
}

type RowsOutput = Pick<RecordOutput, "write">;

export interface RecordSlots {
  /** Resolves when the batch's buffers are free again; it may be on its way still. */
  write(
    output: RowsOutput,
    batch: ColumnBatch,
    segment: Segment,
  ): Promise<void>;
  /** Resolves when all has left. */
  flush(): Promise<void>;
}

export function createSlots(
  schema: StreamSchema,
  format: ChannelFormat,
  changes: ChangeRecordNames | null = null,
): RecordSlots {
  if (changes !== null) {
    assert(format !== "columnar", "changes leave as records");
    const records = new ChangeRecords(schema, changes, format);
    return new EncodedSlots(
      () =>
        format === "jsonl"
          ? new JsonRecordEncoder(records.schema, "meta")
          : new ProtobufRecordEncoder(records.schema, true),
      (batch) => records.project(batch),
    );
  }
  if (format === "columnar") return new ColumnSlots(schema);
  return new EncodedSlots(() =>
    format === "jsonl"
      ? new JsonRecordEncoder(schema)
      : new ProtobufRecordEncoder(schema),
  );
}

interface Slot {
  readonly encoder: RecordEncoder;
  segment: Segment | null;
  sent: Promise<void>;
}

class EncodedSlots implements RecordSlots {
  readonly #slots: readonly Slot[];
  readonly #project: (batch: ColumnBatch) => ColumnBatch;
  #turn = 0;

  constructor(
    createEncoder: () => RecordEncoder,
    project: (batch: ColumnBatch) => ColumnBatch = (batch) => batch,
  ) {
    this.#project = project;
    this.#slots = Array.from({ length: ENCODERS }, () => ({
      encoder: createEncoder(),
      segment: null,
      sent: Promise.resolve(),
    }));
  }

  async write(
    output: RowsOutput,
    batch: ColumnBatch,
    segment: Segment,
  ): Promise<void> {
    const slot = this.#slots[this.#turn++ % ENCODERS]!;
    // its bytes lie in the encoder's own buffer
    await slot.sent;
    if (slot.segment !== segment) {
      slot.encoder.begin(segment);
      slot.segment = segment;
    }
    slot.sent = output.write(slot.encoder.encode(this.#project(batch)));
    slot.sent.catch(() => {
      // thrown where the slot is used again, or flushed
    });
  }

  async flush(): Promise<void> {
    for (const { sent } of this.#slots) await sent;
  }
}

class ColumnSlots implements RecordSlots {
  readonly #schema: StreamSchema;
  #isAnnounced = false;
  /** By partition: of the frames sent. */
  readonly #sequences = new Map<number, number>();

  constructor(schema: StreamSchema) {
    this.#schema = schema;
  }

  async write(
    output: RowsOutput,
    batch: ColumnBatch,
    { partition, partitionId }: Segment,
  ): Promise<void> {
    const { number: stream } = this.#schema;
    const sequence = (this.#sequences.get(partition) ?? 0) + 1;
    this.#sequences.set(partition, sequence);
    const ids = { stream, partition, attempt: 1, sequence };
    const pieces = encodeColumnBatch(
      batch,
      ids,
      SCHEMA_VERSION,
      partitionId ?? "",
    );
    const first = this.#isAnnounced
      ? []
      : [encodeColumns(this.#schema, SCHEMA_VERSION)];
    this.#isAnnounced = true;
    await output.write([...first, ...pieces]);
  }

  async flush(): Promise<void> {
    // nothing is on its way that a write has not waited for
  }
}
