/** What the bookkeeper does around a Postgres destination, reduced to one stream of one partition. */
import type { PostgresMode } from "../../../../connectors/destinations/postgres/config.ts";
import type {
  DurableReport,
  SealedFile,
} from "../../../../proto/checkpoint.ts";
import type { StreamSchema } from "../../../../proto/schema.ts";
import { buildBatch, type TestRow } from "../../../fixtures/batches.ts";
import { Attempt, stampOf, type AttemptOptions } from "./attempts.ts";

export interface RunPlan {
  readonly mode: PostgresMode;
  readonly schema: StreamSchema;
  readonly rows: readonly TestRow[];
  readonly generation: number;
  /** Rows of a checkpoint. */
  readonly checkpointRows: number;
  /** Rows of a batch in the middle of a checkpoint. */
  readonly batchRows: number;
}

/** What the ledger remembers between attempts. */
export class Bookkeeper {
  readonly plan: RunPlan;
  readonly runId: string;
  #epoch = 0;
  #state: "open" | "committing" | "committed" = "open";
  #files: readonly SealedFile[] = [];
  #durable: DurableReport[] = [];

  constructor(plan: RunPlan) {
    this.plan = plan;
    this.runId = `r-20261121-1000${String(plan.generation).padStart(2, "0")}-0001`;
  }

  get isCommitted(): boolean {
    return this.#state === "committed";
  }

  options(url: string): AttemptOptions {
    const { mode, generation, batchRows } = this.plan;
    return {
      url,
      runId: this.runId,
      epoch: this.#epoch,
      generation,
      config: { mode, batchRowsMax: batchRows },
    };
  }

  /** Goes on where a process was that took these steps and is gone. */
  takeOver(steps: readonly string[]): void {
    this.#epoch = 1;
    if (steps.includes("verified")) this.#state = "committing";
    if (steps.includes("published")) this.#state = "committed";
  }

  /** One attempt, to the end or to its first error. */
  async attempt(
    url: string,
    onStep: (step: string) => Promise<void> = async () => {},
  ): Promise<void> {
    this.#epoch += 1;
    const attempt = await Attempt.open(this.options(url));
    try {
      await attempt.storage.prepare();
      await onStep("prepared");
      await this.#recover(attempt);
      if (this.#state === "open") await this.#write(attempt, onStep);
      await this.#commit(attempt, onStep);
    } finally {
      await attempt.close();
    }
  }

  async #recover(attempt: Attempt): Promise<void> {
    const { schema, generation } = this.plan;
    const { reports, problems } = await attempt.storage.recover([
      attempt.recoverTarget(schema, this.#epoch > 1),
    ]);
    if (problems[0]) throw new Error(problems[0].error.message);
    if (this.#files.length === 0)
      this.#files = reports.flatMap(({ files }) => files);
    if (this.#state === "open") {
      const told = new Set(
        reports.map(({ epoch, index }) => `${epoch}/${index}`),
      );
      for (const { epoch, index } of this.#durable)
        if (!told.has(`${epoch}/${index}`))
          throw new Error(
            `checkpoint ${epoch}/${index} was durable and is gone`,
          );
      this.#durable = [...reports];
    }
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

  async #write(
    attempt: Attempt,
    onStep: (step: string) => Promise<void>,
  ): Promise<void> {
    const { schema, rows, checkpointRows, batchRows } = this.plan;
    let at = this.#durable.reduce((sum, one) => sum + one.rows, 0);
    const writer = attempt.writer(schema);
    for (let index = 1; at < rows.length; index++) {
      const end = Math.min(rows.length, at + checkpointRows);
      for (let from = at; from < end; from += batchRows) {
        const some = rows.slice(from, Math.min(end, from + batchRows));
        await writer.write(buildBatch(schema, some));
        await onStep(`written ${from}`);
      }
      const stamp = stampOf(index, end - at, { last: end === rows.length });
      const files = await writer.seal(stamp);
      this.#durable.push({ ...stamp, epoch: this.#epoch, files });
      await onStep(`sealed ${index}`);
      at = end;
    }
    this.#files = this.#durable.flatMap(({ files }) => files);
  }

  async #commit(
    attempt: Attempt,
    onStep: (step: string) => Promise<void>,
  ): Promise<void> {
    const { schema } = this.plan;
    this.#files = await attempt.storage.verify(
      attempt.step(schema, this.#files),
    );
    this.#state = "committing";
    await onStep("verified");
    await attempt.storage.publish(attempt.step(schema, this.#files));
    await onStep("published");
    await attempt.storage.supersede(attempt.stream(schema), []);
    this.#state = "committed";
  }
}
