/** What the bookkeeper does around a stream that follows its log: one partition of a snapshot, one of the log. */
import type { PostgresDestinationConfig } from "../../../../connectors/destinations/postgres/config.ts";
import type { Applied } from "../../../../connectors/destinations/destination.ts";
import type { DurableReport } from "../../../../proto/checkpoint.ts";
import type { StreamSchema } from "../../../../proto/schema.ts";
import { buildBatch } from "../../../fixtures/batches.ts";
import type { Change, History, Random } from "../change-model.ts";
import { Attempt, stampOf } from "./attempts.ts";

const SNAPSHOT_PARTITION = 0;
const LOG_PARTITION = 1;

export interface ChangeRunOptions {
  readonly schema: StreamSchema;
  readonly history: History;
  readonly random: Random;
  readonly syncId: string;
  readonly generation: number;
  readonly config: Partial<PostgresDestinationConfig>;
  /** Transactions of the history that are this run's. */
  readonly from: number;
  readonly to: number;
  readonly takesSnapshot: boolean;
}

/** What the ledger remembers between the attempts of one run. */
export class ChangeRun {
  readonly #options: ChangeRunOptions;
  readonly #changes: readonly Change[];
  #epoch = 0;
  #durable: DurableReport[] = [];
  /** Transactions that were applied for certain. */
  applied = 0;
  isDone = false;

  constructor(options: ChangeRunOptions) {
    this.#options = options;
    this.applied = options.from;
    this.#changes = options.history.transactions
      .slice(options.from, options.to)
      .flatMap(({ changes }) => changes);
  }

  /**
   * One attempt, to the end or to its first error.
   * @param onApplied after each application, with the number of transactions that the copy is to have
   */
  async attempt(
    url: string,
    onApplied: (transactions: number) => Promise<void>,
  ): Promise<void> {
    const { syncId, generation, config, random, schema } = this.#options;
    this.#epoch += 1;
    const attempt = await Attempt.open({
      url,
      syncId,
      generation,
      epoch: this.#epoch,
      runId: `r-20261121-100000-${String(generation).padStart(4, "0")}`,
      config: {
        mode: "cdc",
        batchRowsMax: 1 + Math.floor(random() * 6),
        ...config,
      },
    });
    try {
      await attempt.storage.prepare();
      await this.#recover(attempt);
      await this.#writeSnapshot(attempt);
      await this.#writeLog(attempt, onApplied);
      const files = this.#durable.flatMap((report) => report.files);
      const verified = await attempt.storage.verify(
        attempt.step(schema, files),
      );
      await attempt.storage.publish(attempt.step(schema, verified));
      await attempt.storage.supersede(attempt.stream(schema), []);
      this.applied = this.#options.to;
      this.isDone = true;
      await onApplied(this.applied);
    } finally {
      await attempt.close();
    }
  }

  async #recover(attempt: Attempt): Promise<void> {
    const { schema, generation } = this.#options;
    const { reports, problems } = await attempt.storage.recover([
      attempt.recoverTarget(schema, this.#epoch > 1),
    ]);
    if (problems[0]) throw new Error(problems[0].error.message);
    const told = new Set(
      reports.map(({ epoch, index }) => `${epoch}/${index}`),
    );
    for (const { epoch, index, rows } of this.#durable)
      if (rows > 0 && !told.has(`${epoch}/${index}`) && !this.isDone)
        throw new Error(`checkpoint ${epoch}/${index} was durable and is gone`);
    if (reports.length > 0) this.#durable = [...reports];
    const epochs = Array.from({ length: this.#epoch }, (_, i) => i + 1);
    await attempt.storage.clean(
      [
        {
          namespace: schema.namespace,
          name: schema.name,
          generation,
          epochs,
          currentEpoch: this.#epoch,
        },
      ],
      new Set(reports.flatMap(({ files }) => files.map(({ path }) => path))),
    );
  }

  #index = 0;

  async #writeSnapshot(attempt: Attempt): Promise<void> {
    const { schema, history, takesSnapshot } = this.#options;
    this.#index = 0;
    if (!takesSnapshot) return;
    const isThere = this.#durable.some(
      ({ partition }) => partition === SNAPSHOT_PARTITION,
    );
    if (isThere) return;
    const rows = history.snapshot.map(({ row }) => row);
    const writer = attempt.writer(schema, SNAPSHOT_PARTITION);
    await writer.write(buildBatch(schema, rows));
    const stamp = stampOf((this.#index += 1), rows.length, {
      partition: SNAPSHOT_PARTITION,
      last: true,
    });
    const files = await writer.seal(stamp);
    this.#durable.push({ ...stamp, epoch: attempt.epoch, files });
  }

  /** From somewhere behind what was applied and not behind what is durable: what comes twice counts once. */
  async #writeLog(
    attempt: Attempt,
    onApplied: (transactions: number) => Promise<void>,
  ): Promise<void> {
    const { schema, random, history, to } = this.#options;
    const durable = this.#durable
      .filter(({ partition }) => partition === LOG_PARTITION)
      .flatMap(({ position }) =>
        position?.kind === "key" ? position.after : [],
      )
      .reduce((most, count) => Math.max(most, Number(count)), 0);
    let at = random() < 0.5 ? durable : Math.floor(random() * (durable + 1));
    const writer = attempt.writer(schema, LOG_PARTITION);
    while (at < this.#changes.length) {
      const end = Math.min(
        this.#changes.length,
        at + 1 + Math.floor(random() * 9),
      );
      const rows = this.#changes.slice(at, end).map(({ row }) => row);
      const middle = Math.floor(random() * rows.length);
      await writer.write(buildBatch(schema, rows.slice(0, middle)));
      await writer.write(buildBatch(schema, rows.slice(middle)));
      const stamp = stampOf((this.#index += 1), rows.length, {
        partition: LOG_PARTITION,
        position: { kind: "key", after: [String(Math.max(durable, end))] },
      });
      const files = await writer.seal(stamp);
      this.#durable.push({ ...stamp, epoch: attempt.epoch, files });
      at = end;
      const last = this.#changes[Math.max(durable, at) - 1]?.position ?? "";
      // transactions that are durable as a whole
      const whole = history.transactions.findIndex(
        ({ changes }, i) =>
          i >= this.#options.from && (changes.at(-1)?.position ?? "") > last,
      );
      const reached = whole < 0 || whole > to ? to : whole;
      if (reached === this.applied || random() < 0.5) continue;
      await this.apply(attempt, reached);
      if (random() < 0.3) await this.apply(attempt, reached);
      await onApplied(this.applied);
      if (random() < 0.3) {
        const older = Math.floor(random() * (reached + 1));
        await this.apply(attempt, Math.max(this.#options.from + 1, older));
        await onApplied(this.applied);
      }
    }
  }

  async apply(attempt: Attempt, transactions: number): Promise<Applied> {
    const { schema, history } = this.#options;
    const upTo = history.transactions[transactions - 1]?.end;
    if (upTo === undefined) throw new Error("no transaction to apply");
    const applied = await attempt.storage.apply({
      ...attempt.step(
        schema,
        this.#durable.flatMap(({ files }) => files),
      ),
      log: { partitions: [LOG_PARTITION], upTo, consistentFrom: null },
    });
    this.applied = Math.max(this.applied, transactions);
    return applied;
  }
}
