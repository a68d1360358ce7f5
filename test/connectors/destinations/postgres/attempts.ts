/** Attempts at a Postgres destination as the destination process makes them, without the process. */
import type {
  DestinationContext,
  DestinationStorage,
  RecoverTarget,
  StreamWriter,
  WriterFactory,
} from "../../../../connectors/destinations/destination.ts";
import {
  postgresDestinationDefaults,
  type PostgresDestinationConfig,
} from "../../../../connectors/destinations/postgres/config.ts";
import { postgresDestinationDriver } from "../../../../connectors/destinations/postgres/driver.ts";
import type {
  CheckpointStamp,
  SealedFile,
} from "../../../../proto/checkpoint.ts";
import type { ColumnBatch } from "../../../../proto/columns.ts";
import type {
  CommitStep,
  DestinationStream,
} from "../../../../proto/control.ts";
import type { StreamSchema } from "../../../../proto/schema.ts";

export interface AttemptOptions {
  readonly url: string;
  readonly epoch?: number;
  readonly runId?: string;
  readonly syncId?: string;
  readonly generation?: number;
  readonly config?: Partial<PostgresDestinationConfig>;
}

const committedAt = "2026-11-21T10:00:00.000Z";

export function contextOf(options: AttemptOptions): DestinationContext {
  const config: PostgresDestinationConfig = {
    ...postgresDestinationDefaults,
    kind: "postgres",
    url: options.url,
    mode: "full-refresh-overwrite",
    ...options.config,
  };
  return {
    config,
    syncId: options.syncId ?? "sync",
    attempt: {
      runId: options.runId ?? "r-20261121-100000-0001",
      epoch: options.epoch ?? 1,
    },
  };
}

export function stampOf(
  index: number,
  rows: number,
  more: Partial<CheckpointStamp> = {},
): CheckpointStamp {
  return {
    stream: 1,
    partition: 0,
    attempt: 1,
    sequence: index,
    index,
    position: { kind: "key", after: [String(index)] },
    rows,
    bytes: rows,
    last: false,
    ...more,
  };
}

/** One attempt: its storage, its writers, and the steps in the order that the bookkeeper gives them. */
export class Attempt {
  readonly context: DestinationContext;
  readonly storage: DestinationStorage;
  readonly writers: WriterFactory;
  readonly generation: number;
  readonly epoch: number;

  private constructor(
    options: AttemptOptions,
    context: DestinationContext,
    storage: DestinationStorage,
    writers: WriterFactory,
  ) {
    this.generation = options.generation ?? 1;
    this.epoch = context.attempt.epoch;
    this.context = context;
    this.storage = storage;
    this.writers = writers;
  }

  /** Opens storage and writers, and takes the destination over. */
  static async begin(options: AttemptOptions): Promise<Attempt> {
    const attempt = await Attempt.open(options);
    await attempt.storage.prepare();
    return attempt;
  }

  static async open(options: AttemptOptions): Promise<Attempt> {
    const context = contextOf(options);
    const storage = await postgresDestinationDriver.openStorage(context);
    const writers = await postgresDestinationDriver.openWriters(context, 0);
    return new Attempt(options, context, storage, writers);
  }

  stream(schema: StreamSchema): DestinationStream {
    return { schema, generation: this.generation, planVersion: 1 };
  }

  recoverTarget(schema: StreamSchema, resumed: boolean): RecoverTarget {
    const knownGenerations = Array.from(
      { length: this.generation },
      (_, i) => i + 1,
    );
    return { ...this.stream(schema), knownGenerations, resumed };
  }

  writer(schema: StreamSchema, partition = 0): StreamWriter {
    return this.writers.createWriter({
      stream: this.stream(schema),
      partition,
    });
  }

  step(schema: StreamSchema, files: readonly SealedFile[]): CommitStep {
    const { mode } = this.context.config as PostgresDestinationConfig;
    return { stream: this.stream(schema), mode, files, committedAt };
  }

  /** Verify, publish, supersede: what the bookkeeper orders when all rows are durable. */
  async commit(
    schema: StreamSchema,
    files: readonly SealedFile[],
  ): Promise<readonly SealedFile[]> {
    const verified = await this.storage.verify(this.step(schema, files));
    await this.storage.publish(this.step(schema, verified));
    await this.storage.supersede(this.stream(schema), []);
    return verified;
  }

  /** A whole run of one partition with one checkpoint for each batch. */
  async copy(
    schema: StreamSchema,
    batches: readonly ColumnBatch[],
  ): Promise<readonly SealedFile[]> {
    const { problems } = await this.storage.recover([
      this.recoverTarget(schema, false),
    ]);
    if (problems[0]) throw new Error(problems[0].error.message);
    const writer = this.writer(schema);
    const files: SealedFile[] = [];
    for (const [i, batch] of batches.entries()) {
      await writer.write(batch);
      const last = i === batches.length - 1;
      files.push(
        ...(await writer.seal(stampOf(i + 1, batch.rowCount, { last }))),
      );
    }
    return this.commit(schema, files);
  }

  async close(): Promise<void> {
    await this.writers.close();
    await this.storage.close();
  }
}

/** A whole run of its own. */
export async function runOnce(
  options: AttemptOptions,
  schema: StreamSchema,
  batches: readonly ColumnBatch[],
): Promise<readonly SealedFile[]> {
  const attempt = await Attempt.begin(options);
  try {
    return await attempt.copy(schema, batches);
  } finally {
    await attempt.close();
  }
}
