/**
 * What a destination knows of the channel it reads: the streams announced, the sequence numbers due, and what it has
 * counted itself, to be compared with End.
 */
import { batchBytes } from "../proto/columns.ts";
import { ExtractError } from "../proto/error.ts";
import { decodeBatch, type ChecksumReader } from "./batch-codec.ts";
import type { ReceivedBatch } from "./channel.ts";
import type {
  BatchHeader,
  ChannelTotals,
  CheckpointFrame,
  DiscardFrame,
  EndFrame,
  SchemaFrame,
  StalledFrame,
  VersionedSchema,
} from "./frames.ts";
import { SequenceGuard } from "./sequence-guard.ts";

export class Inbound {
  readonly streams = new Map<number, VersionedSchema>();
  readonly #guard = new SequenceGuard();
  readonly #checksumReader: () => ChecksumReader;
  readonly #totals = { batches: 0, rows: 0, bytes: 0, checkpoints: 0 };

  /** @param checksumReader asked for each batch; left out: it is summed here */
  constructor(checksumReader: () => ChecksumReader = () => "here") {
    this.#checksumReader = checksumReader;
  }

  /** @throws ExtractError CHANNEL_CORRUPT for a version that is not the next */
  admitSchema({ version, schema }: VersionedSchema): void {
    const known = this.streams.get(schema.number)?.version ?? 0;
    if (version !== known + 1) {
      throw new ExtractError(
        "CHANNEL_CORRUPT",
        `version ${version} of stream ${schema.number} behind version ${known}`,
        { stream: schema.number, version, known },
      );
    }
    this.streams.set(schema.number, { version, schema });
  }

  /** @throws ExtractError CHANNEL_CORRUPT */
  admitBatch(
    header: BatchHeader,
    body: Uint8Array,
    release: () => void,
  ): ReceivedBatch {
    const { stream, partition, attempt, sequence, schemaVersion } = header;
    const known = this.streams.get(stream);
    if (known?.version !== schemaVersion) {
      throw new ExtractError(
        "CHANNEL_CORRUPT",
        `a batch of stream ${stream} with version ${schemaVersion} of its columns, where ${known?.version ?? "none"} is known`,
        { stream, schemaVersion, known: known?.version ?? null },
      );
    }
    this.#guard.admitBatch(header);
    const { schema } = known;
    const batch = decodeBatch(
      header,
      body,
      schema.columns,
      this.#checksumReader(),
    );
    const bytes = batchBytes(batch);
    this.#totals.batches++;
    this.#totals.rows += batch.rowCount;
    this.#totals.bytes += bytes;
    return {
      kind: "batch",
      stream,
      partition,
      attempt,
      sequence,
      schema,
      schemaVersion,
      batch,
      bytes,
      release,
    };
  }

  /** @throws ExtractError CHANNEL_CORRUPT */
  admit(
    frame: CheckpointFrame | DiscardFrame | SchemaFrame | StalledFrame,
  ): void {
    switch (frame.kind) {
      case "checkpoint":
        this.#guard.admitCheckpoint(frame.checkpoint);
        this.#totals.checkpoints++;
        return;
      case "discard":
        return this.#guard.admitDiscard(frame.discard);
      case "schema":
        return this.admitSchema(frame);
      case "stalled":
        return;
    }
  }

  /** @throws ExtractError CHANNEL_CORRUPT when the source counted otherwise */
  admitEnd({ totals }: EndFrame): void {
    for (const name of Object.keys(totals) as (keyof ChannelTotals)[]) {
      const received = this.#totals[name];
      if (totals[name] !== received) {
        throw new ExtractError(
          "CHANNEL_CORRUPT",
          `the source sent ${totals[name]} ${name}, ${received} arrived`,
          { what: name, sent: totals[name], received },
        );
      }
    }
  }
}
