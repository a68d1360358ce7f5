/**
 * One attempt at a change log in files, as a bookkeeper would order it, at any destination that makes files. The ledger
 * is an object, which a crash of the attempt leaves as it was.
 */
import type {
  DestinationContext,
  DestinationDriver,
  DestinationStorage,
} from "../../../connectors/destinations/destination.ts";
import type { Manifest } from "../../../connectors/destinations/layout/manifest.ts";
import type { DurableReport, SealedFile } from "../../../proto/checkpoint.ts";
import type { CommitStep, LogBoundWire } from "../../../proto/control.ts";
import type { Position } from "../../../proto/partition.ts";
import { buildBatch, type TestRow } from "../../fixtures/batches.ts";
import { changeSchema, type History, type TableRow } from "./change-model.ts";

const SNAPSHOT_PARTITION = 0;
const LOG_PARTITION = 1;
/** Of the log, in one checkpoint. */
const TRANSACTIONS_PER_CHECKPOINT = 3;

export interface LogPlan {
  readonly generation: number;
  readonly history: History;
  readonly from: number;
  readonly to: number;
  /** With a snapshot: its generation takes the place of all older ones. */
  readonly takesSnapshot: boolean;
}

export interface LogLedger {
  readonly plan: LogPlan;
  epoch: number;
  durable: DurableReport[];
  /** Transactions that readers were shown for certain. */
  shown: number;
  state: "open" | "committing" | "committed";
  files: readonly SealedFile[];
}

export function makeLogLedger(plan: LogPlan): LogLedger {
  const { from } = plan;
  return { plan, epoch: 0, durable: [], shown: from, state: "open", files: [] };
}

/** Begins a new epoch and goes on to the end from wherever the last one stopped. */
export async function runLogAttempt(
  driver: DestinationDriver,
  config: DestinationContext["config"],
  ledger: LogLedger,
): Promise<void> {
  const { plan } = ledger;
  const { generation } = plan;
  ledger.epoch += 1;
  const attempt = { runId: `run-${generation}`, epoch: ledger.epoch };
  const context: DestinationContext = { config, syncId: "sync-1", attempt };
  const storage = await driver.openStorage(context);
  const mode = plan.takesSnapshot ? "full-refresh-overwrite" : "cdc";
  const stream = { schema: changeSchema, generation, planVersion: 1, mode };
  const makeStep = (files: readonly SealedFile[], transactions: number) => ({
    stream,
    mode,
    files,
    committedAt: "2025-01-02T03:04:05.000Z",
    log: makeBound(plan, transactions),
  });
  const intent = {
    namespace: changeSchema.namespace,
    name: changeSchema.name,
    generation,
    epochs: count(ledger.epoch),
    currentEpoch: ledger.epoch,
  };
  try {
    await storage.prepare();
    if (ledger.state === "open") {
      const { reports, problems } = await storage.recover([
        {
          ...stream,
          knownGenerations: count(generation),
          resumed: ledger.epoch > 1,
        },
      ]);
      if (problems[0]) throw new Error(problems[0].error.message);
      ledger.durable = [...reports];
      const keep = ledger.durable.flatMap(({ files }) =>
        files.map(({ path }) => path),
      );
      await storage.clean([intent], new Set(keep));
      await write(driver, context, storage, ledger, makeStep);
      const files = listFiles(ledger);
      ledger.files = await storage.verify(makeStep(files, plan.to));
      ledger.state = "committing";
    }
    if (ledger.state === "committing") {
      await storage.publish(makeStep(ledger.files, plan.to));
      ledger.state = "committed";
      ledger.shown = plan.to;
    }
    const older = count(generation - 1).map((before) => ({
      ...intent,
      generation: before,
      epochs: [1, 2, 3],
      currentEpoch: null,
    }));
    await storage.supersede(stream, older);
    const listed = new Set(ledger.files.map(({ path }) => path));
    await storage.clean([{ ...intent, currentEpoch: null }], listed);
  } finally {
    await storage.close();
  }
}

async function write(
  driver: DestinationDriver,
  context: DestinationContext,
  storage: DestinationStorage,
  ledger: LogLedger,
  makeStep: (
    files: readonly SealedFile[],
    transactions: number,
  ) => CommitStep & { log: LogBoundWire },
): Promise<void> {
  const { plan, epoch } = ledger;
  const { history, from, to } = plan;
  const factory = await driver.openWriters(context, 1);
  let index = 0;
  const put = async (
    partition: number,
    rows: readonly TestRow[],
    position: Position | null,
    last: boolean,
  ): Promise<void> => {
    const stream = {
      schema: changeSchema,
      generation: plan.generation,
      planVersion: 1,
    };
    const writer = factory.createWriter({ stream, partition });
    await writer.write(buildBatch(changeSchema, rows));
    index += 1;
    const stamp = {
      stream: 1,
      partition,
      attempt: 1,
      sequence: index,
      index,
      position,
      rows: rows.length,
      bytes: rows.length,
      last,
    };
    const files = await writer.seal(stamp);
    writer.abandon();
    ledger.durable.push({ ...stamp, epoch, files });
  };
  try {
    const hasSnapshot = ledger.durable.some(
      ({ partition }) => partition === SNAPSHOT_PARTITION,
    );
    if (plan.takesSnapshot && !hasSnapshot)
      await put(
        SNAPSHOT_PARTITION,
        history.snapshot.map(({ row }) => row),
        null,
        true,
      );
    const reached =
      ledger.durable
        .flatMap(({ position }) =>
          position?.kind === "log" ? [position.after] : [],
        )
        .at(-1) ?? "";
    let at = history.transactions.findIndex(
      ({ end }, i) => i >= from && end > reached,
    );
    if (at < 0) at = to;
    while (at < to) {
      const next = Math.min(to, at + TRANSACTIONS_PER_CHECKPOINT);
      const some = history.transactions.slice(at, next);
      const rows = some.flatMap(({ changes }) => changes.map(({ row }) => row));
      const after = some.at(-1)?.end ?? "";
      await put(LOG_PARTITION, rows, { kind: "log", after }, next === to);
      at = next;
      await storage.apply(makeStep(listFiles(ledger), at));
      ledger.shown = at;
      // an order that was late
      if (at - TRANSACTIONS_PER_CHECKPOINT > from)
        await storage.apply(
          makeStep(
            listFiles(ledger).slice(0, -1),
            at - TRANSACTIONS_PER_CHECKPOINT,
          ),
        );
    }
  } finally {
    await factory.close();
  }
}

function makeBound(
  { history, from }: LogPlan,
  transactions: number,
): LogBoundWire {
  const upTo =
    transactions > from
      ? (history.transactions[transactions - 1]?.end ?? "")
      : "00000000-00000000000000000000-0000000000";
  return { partitions: [LOG_PARTITION], upTo, consistentFrom: null };
}

function listFiles({ durable }: LogLedger): SealedFile[] {
  return durable.flatMap(({ files }) => files);
}

function count(to: number): number[] {
  return Array.from({ length: to }, (_, before) => before + 1);
}

/** Files in the order that replays them: generation by generation, as listed. */
export function listedFiles(manifest: Pick<Manifest, "generations">): string[] {
  return manifest.generations.flatMap(({ files }) =>
    files.map(({ path }) => path),
  );
}

/** A table of columns by name, made from changes in the log's order as a reader of the files would. */
export function replay(rows: readonly TestRow[]): TableRow[] {
  const table = new Map<string, TestRow>();
  const names = changeSchema.columns.map(({ name }) => name);
  const keyText = (row: TestRow): string =>
    JSON.stringify([String(row[0]), row[1]]);
  // what a change of key has not sent is in the row of the old key, as it was before its deletion
  const gone = new Map<string, TestRow>();
  for (const row of rows) {
    const [operation, unchanged, oldKey] = [row[5], row[9], row[10]];
    if (operation === "t") {
      table.clear();
      continue;
    }
    const key = keyText(row);
    const known = table.get(key);
    if (operation === "d") {
      if (known) gone.set(key, known);
      table.delete(key);
      continue;
    }
    const base = typeof oldKey === "string" ? gone.get(oldKey) : known;
    const unsent = new Set(JSON.parse(String(unchanged)) as string[]);
    const whole = row.map((value, i) => {
      if (!unsent.has(names[i] ?? "")) return value;
      if (!base) throw new Error(`${key}: a value that was never sent`);
      return base[i] ?? null;
    });
    table.set(key, whole);
  }
  return [...table.values()].map(([id, site, amount, note, body]) => [
    Number(id),
    String(site),
    amount === null || amount === undefined ? null : BigInt(amount as bigint),
    (note ?? null) as string | null,
    (body ?? null) as string | null,
  ]);
}
