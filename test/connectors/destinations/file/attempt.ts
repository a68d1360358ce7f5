/**
 * One attempt at writing a table, as a bookkeeper would order it: recover, clean up, write what is missing, commit.
 * The ledger here is an object, which a crash of the attempt leaves as it was.
 */
import {
  cleanUp,
  publishCommit,
  recoverCheckpoints,
  removeSuperseded,
  verifyCommit,
} from "../../../../connectors/destinations/file/commit.ts";
import type { CommitOrder } from "../../../../connectors/destinations/file/commit.ts";
import type { FileDestinationConfig } from "../../../../connectors/destinations/file/config.ts";
import { PartitionWriter } from "../../../../connectors/destinations/file/writer.ts";
import type { SealedFile } from "../../../../proto/checkpoint.ts";
import { makeBatch, makeStamp, schema, stream } from "./table.ts";

export interface Ledger {
  readonly generation: number;
  epoch: number;
  /** What the destination said was durable. */
  readonly durable: Map<string, readonly SealedFile[]>;
  state: "writing" | "committing" | "committed";
  files: readonly SealedFile[];
}

export interface Table {
  readonly first: number;
  readonly last: number;
  readonly batchRows: number;
  readonly batchesPerCheckpoint: number;
}

export function makeLedger(generation: number): Ledger {
  return {
    generation,
    epoch: 0,
    durable: new Map(),
    state: "writing",
    files: [],
  };
}

/** Begins a new epoch and goes on to the end from wherever the last one stopped. */
export async function runAttempt(
  config: FileDestinationConfig,
  ledger: Ledger,
  table: Table,
  onSealed: (rowsDurable: number) => void = () => {},
): Promise<void> {
  const { generation } = ledger;
  const epoch = ++ledger.epoch;
  const makeOrder = (): CommitOrder => ({
    config,
    schema,
    syncId: "sync-1",
    runId: `run-${generation}`,
    mode: "full-refresh-overwrite",
    generation,
    epoch,
    files: ledger.files,
    committedAt: "2025-01-02T03:04:05.000Z",
  });
  if (ledger.state === "writing") {
    ledger.files = await writeRest(config, ledger, table, onSealed);
    await verifyCommit(makeOrder());
    ledger.state = "committing";
  }
  if (ledger.state === "committing") {
    await publishCommit(makeOrder());
    ledger.state = "committed";
  }
  const older = Array.from({ length: generation - 1 }, (_, before) => ({
    ...stream,
    generation: before + 1,
    epochs: [1, 2, 3],
    currentEpoch: null,
  }));
  await removeSuperseded(config, stream, older);
  const own = { ...stream, generation, epochs: makeEpochs(epoch) };
  const keep = new Set(ledger.files.map((file) => file.path));
  await cleanUp(config, [{ ...own, currentEpoch: null }], keep);
}

async function writeRest(
  config: FileDestinationConfig,
  ledger: Ledger,
  table: Table,
  onSealed: (rowsDurable: number) => void,
): Promise<SealedFile[]> {
  const { generation, epoch } = ledger;
  const recovered = await recoverCheckpoints(config, schema, generation);
  for (const report of recovered) {
    ledger.durable.set(`${report.epoch}/${report.index}`, report.files);
  }
  const position = recovered.at(-1)?.position;
  let next =
    position?.kind === "key" ? Number(position.after[0]) + 1 : table.first;
  const files = [...ledger.durable.values()].flat();
  const intent = { ...stream, generation, epochs: makeEpochs(epoch) };
  const keep = new Set(files.map((file) => file.path));
  await cleanUp(config, [{ ...intent, currentEpoch: epoch }], keep);
  const writer = new PartitionWriter({
    config,
    schema,
    generation,
    epoch,
    runId: `run-${generation}`,
    partition: 0,
    planVersion: 1,
  });
  try {
    for (let index = 1; next <= table.last; index += 1) {
      let rows = 0;
      for (let batch = 0; batch < table.batchesPerCheckpoint; batch += 1) {
        const left = table.last - next + 1;
        if (left <= 0) break;
        const count = Math.min(table.batchRows, left);
        await writer.write(makeBatch(next, count));
        next += count;
        rows += count;
      }
      const sealed = await writer.seal(
        makeStamp(index, rows, {
          position: { kind: "key", after: [String(next - 1)] },
          last: next > table.last,
        }),
      );
      ledger.durable.set(`${epoch}/${index}`, sealed);
      files.push(...sealed);
      onSealed(next - table.first);
    }
  } finally {
    writer.abandon();
  }
  return files;
}

function makeEpochs(epoch: number): number[] {
  return Array.from({ length: epoch }, (_, before) => before + 1);
}
