/** Postgres as the destination process uses it. */
import assert from "node:assert/strict";

import type { DurableReport, SealedFile } from "../../../proto/checkpoint.ts";
import type {
  CommitStep,
  DestinationStream,
  GenerationIntent,
} from "../../../proto/control.ts";
import { ExtractError, toWireError } from "../../../proto/error.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import type {
  Applied,
  ApplyStep,
  DestinationContext,
  DestinationDriver,
  DestinationStorage,
  RecoverTarget,
  Recovery,
  StreamWriter,
  WriterFactory,
} from "../destination.ts";
import { publishStaging } from "./commit.ts";
import { postgresModes, type PostgresDestinationConfig } from "./config.ts";
import { ConnectionPool } from "./connection-pool.ts";
import type { DestinationConnection } from "./connection.ts";
import { applyChanges } from "./apply.ts";
import { verifyChanges } from "./change-counts.ts";
import { describeChangeTables } from "./change-tables.ts";
import { ChangeWriter } from "./change-writer.ts";
import { createCopyEncoder } from "./copy-encoder.ts";
import type { CopyEncoder, CopyPlan } from "./copy-plan.ts";
import { checkChangeTarget } from "./copy-beginning.ts";
import {
  checkDistinctTables,
  historyTable,
  OWN_SCHEMA,
  showTable,
  targetTable,
  type StreamName,
  type TableName,
} from "./names.ts";
import { claimEpoch, holdEpoch, makeOwnTables } from "./own-tables.ts";
import { cleanUp, readState, stateKey, type KnownState } from "./recovery.ts";
import { describeTables, generationKey, type StreamTables } from "./staging.ts";
import { choosePublishWay, lookUpTargets, type FoundTarget } from "./target.ts";
import { verifyStaging } from "./verify.ts";
import { PartitionWriter } from "./writer.ts";

function readConfig({ config }: DestinationContext): PostgresDestinationConfig {
  const known = config as DestinationContext["config"] &
    PostgresDestinationConfig;
  if (!postgresModes.includes(known.mode)) {
    throw new ExtractError(
      "USAGE",
      `${String(known.mode)} is no mode of a Postgres destination`,
    );
  }
  return known;
}

class PostgresStorage implements DestinationStorage {
  readonly #context: DestinationContext;
  readonly #config: PostgresDestinationConfig;
  readonly #pool: ConnectionPool;
  #connection: DestinationConnection | null = null;
  #lastTurn: Promise<unknown> = Promise.resolve();

  constructor(context: DestinationContext) {
    this.#context = context;
    this.#config = readConfig(context);
    this.#pool = new ConnectionPool(context, this.#config);
  }

  prepare(): Promise<void> {
    return this.#inTurn(async (connection) => {
      await makeOwnTables(connection);
      // epochs count from 1: who only looks must not end a run that is under way
      if (this.#context.attempt.epoch > 0)
        await claimEpoch(connection, this.#context);
    });
  }

  async recover(streams: readonly RecoverTarget[]): Promise<Recovery> {
    checkDistinctTables(
      streams.map(({ schema }) => schema),
      (stream) => this.#listTables(stream),
    );
    return this.#inTurn(async (connection) => {
      await holdEpoch(connection, this.#context);
      const state = await readState(connection, this.#context);
      const all = streams.map((stream) =>
        describeTables(this.#context, this.#config, stream),
      );
      const found = await lookUpTargets(
        connection,
        all.map(({ target }) => target),
      );
      const reports: DurableReport[] = [];
      const problems: Recovery["problems"][number][] = [];
      for (const [i, stream] of streams.entries()) {
        const { schema } = stream;
        try {
          const tables = all[i];
          const target = found[i];
          assert(tables && target);
          await this.#checkTarget(connection, state, stream, tables, target);
          if (!stream.resumed) continue;
          const key = stateKey(schema, stream.generation);
          for (const report of state.checkpoints.get(key) ?? [])
            reports.push({ ...report, stream: schema.number });
        } catch (error) {
          problems.push({ stream: schema.number, error: toWireError(error) });
        }
      }
      return { reports, problems, strangers: [] };
    });
  }

  /** @throws ExtractError DESTINATION_FOREIGN, DESTINATION_UNWRITABLE */
  async #checkTarget(
    connection: DestinationConnection,
    { generations }: KnownState,
    stream: RecoverTarget,
    tables: StreamTables,
    found: FoundTarget,
  ): Promise<void> {
    const ours = generations.filter(
      ({ namespace, name }) =>
        namespace === stream.schema.namespace && name === stream.schema.name,
    );
    const stranger = ours.find(
      ({ generation }) => !stream.knownGenerations.includes(generation),
    );
    if (stranger) {
      throw new ExtractError(
        "DESTINATION_FOREIGN",
        `${showTable(tables.target)} has generation ${stranger.generation}, which this ledger does not know`,
        { table: showTable(tables.target) },
      );
    }
    const isPublished = ours.some(
      ({ generation, state }) =>
        generation === stream.generation && state === "published",
    );
    // what is published already has found its way
    if (isPublished) return;
    const { syncId } = this.#context;
    if (this.#config.mode !== "cdc")
      await choosePublishWay(connection, this.#config, syncId, tables, found);
    else
      await checkChangeTarget(
        connection,
        this.#context,
        this.#config,
        describeChangeTables(this.#context, this.#config, stream),
        found,
      );
  }

  #listTables(stream: StreamName): readonly TableName[] {
    const { mode, history } = this.#config;
    const tables = [targetTable(this.#config, stream)];
    if (mode !== "cdc" || history === "none") return tables;
    const kept = historyTable(this.#config, stream);
    return history === "instead" ? [kept] : [...tables, kept];
  }

  clean(
    intents: readonly GenerationIntent[],
    keep: ReadonlySet<string>,
  ): Promise<number> {
    return this.#inTurn((connection) =>
      cleanUp(connection, this.#context, intents, keep),
    );
  }

  verify(step: CommitStep): Promise<readonly SealedFile[]> {
    this.#checkMode(step);
    const verify = this.#config.mode === "cdc" ? verifyChanges : verifyStaging;
    return this.#inTurn((connection) =>
      verify(connection, this.#context, this.#config, step),
    );
  }

  publish(step: CommitStep): Promise<void> {
    this.#checkMode(step);
    return this.#inTurn(async (connection) => {
      if (this.#config.mode === "cdc")
        await applyChanges(connection, this.#context, this.#config, step, true);
      else await publishStaging(connection, this.#context, this.#config, step);
    });
  }

  apply(step: ApplyStep): Promise<Applied> {
    this.#checkMode(step);
    assert.equal(this.#config.mode, "cdc", "only a log is applied");
    return this.#inTurn((connection) =>
      applyChanges(connection, this.#context, this.#config, step, false),
    );
  }

  /** The old table went when the new one came; what is left of older generations are rows in our tables. */
  supersede(
    stream: DestinationStream,
    intents: readonly GenerationIntent[],
  ): Promise<void> {
    const { namespace, name } = stream.schema;
    for (const intent of intents)
      assert(intent.namespace === namespace && intent.name === name);
    const over = intents.filter(
      ({ currentEpoch, generation }) =>
        currentEpoch === null && generation < stream.generation,
    );
    return this.#inTurn(async (connection) => {
      await cleanUp(connection, this.#context, over, new Set());
      const [sync, ...key] = generationKey(this.#context, {
        name: { namespace, name },
        generation: stream.generation,
      });
      // the checkpoints of a committed generation have done their work
      await connection.query(
        "forget checkpoints",
        `DELETE FROM ${OWN_SCHEMA}.checkpoints c USING ${OWN_SCHEMA}.generations g
         WHERE c.sync_id = $1 AND c.namespace = $2 AND c.name = $3 AND c.generation = $4 AND g.state = 'published'
           AND (g.sync_id, g.namespace, g.name, g.generation) = (c.sync_id, c.namespace, c.name, c.generation)`,
        [sync, ...key],
      );
    });
  }

  async close(): Promise<void> {
    await this.#lastTurn;
    await this.#connection?.close();
    this.#connection = null;
  }

  #checkMode({ mode, stream }: CommitStep): void {
    const { mode: ours } = this.#config;
    assert.equal(
      mode,
      stream.mode ?? ours,
      "a stream is committed in its mode",
    );
    // a stream that was reset is the one that differs
    assert(mode === ours || mode === "full-refresh-overwrite");
  }

  /** One step after the other, on one connection; a lost one is replaced. */
  #inTurn<Result>(
    work: (connection: DestinationConnection) => Promise<Result>,
  ): Promise<Result> {
    const turn = this.#lastTurn.then(async () => {
      if (!this.#connection?.usable) this.#connection = await this.#pool.open();
      return work(this.#connection);
    });
    this.#lastTurn = turn.catch(() => {});
    return turn;
  }
}

interface KnownEncoder {
  readonly plan: CopyPlan;
  readonly encoder: CopyEncoder;
}

function createWriters(
  context: DestinationContext,
  config: PostgresDestinationConfig,
): WriterFactory {
  const pool = new ConnectionPool(context, config);
  // by the very object that describes the stream: one encoder for all partitions that a thread writes
  const encoders = new WeakMap<StreamSchema, Map<string, KnownEncoder>>();
  const findEncoder = (tables: StreamTables): KnownEncoder => {
    const { schema, columns, target, staging, isMerged } = tables;
    const ofStream = encoders.get(schema) ?? new Map<string, KnownEncoder>();
    encoders.set(schema, ofStream);
    const known = ofStream.get(staging.table);
    if (known) return known;
    const table = showTable(target);
    const plan: CopyPlan = { table, columns, withOrder: isMerged };
    const made = { plan, encoder: createCopyEncoder(plan) };
    ofStream.set(staging.table, made);
    return made;
  };
  const open = (tables: StreamTables, partition: number): StreamWriter => {
    const share = findEncoder(tables);
    const options = { context, config, tables, partition, share, pool };
    return new PartitionWriter(options);
  };
  return {
    createWriter({ stream, partition }) {
      if (config.mode !== "cdc")
        return open(describeTables(context, config, stream), partition);
      const tables = describeChangeTables(context, config, stream);
      const { log, copy } = tables;
      return new ChangeWriter(tables, (part) =>
        open(part === "log" ? log : copy, partition),
      );
    },
    close: () => pool.close(),
  };
}

export const postgresDestinationDriver: DestinationDriver = {
  openStorage: async (context) => new PostgresStorage(context),
  openWriters: async (context) => createWriters(context, readConfig(context)),
};
