/**
 * One attempt at writing a table, as a bookkeeper would order it: prepare, recover, clean up, write what is missing,
 * commit. The ledger here is an object, which a crash of the attempt leaves as it was.
 */
import { s3Driver } from "../../../../connectors/destinations/s3/driver.ts";
import type { S3DestinationConfig } from "../../../../connectors/destinations/s3/config.ts";
import type {
  DestinationStorage,
  StreamWriter,
} from "../../../../connectors/destinations/destination.ts";
import type {
  DurableReport,
  SealedFile,
} from "../../../../proto/checkpoint.ts";
import type {
  CommitStep,
  DestinationStream,
} from "../../../../proto/control.ts";
import type { Ledger, Table } from "../file/attempt.ts";
import { makeBatch, makeStamp, schema, stream } from "../file/table.ts";
import { makeContext } from "./config.ts";

function makeEpochs(epoch: number): number[] {
  return Array.from({ length: epoch }, (_, before) => before + 1);
}

function makeStream(generation: number): DestinationStream {
  return { schema, generation, planVersion: 1 };
}

/** Begins a new epoch and goes on to the end from wherever the last one stopped. */
export async function runAttempt(
  config: S3DestinationConfig,
  ledger: Ledger,
  table: Table,
): Promise<void> {
  const { generation } = ledger;
  const epoch = ++ledger.epoch;
  const context = makeContext(config, epoch, `run-${generation}`);
  const storage = await s3Driver.openStorage(context);
  const makeStep = (): CommitStep => ({
    stream: makeStream(generation),
    mode: "full-refresh-overwrite",
    files: ledger.files,
    committedAt: "2025-01-02T03:04:05.000Z",
  });
  try {
    await storage.prepare();
    if (ledger.state === "writing") {
      ledger.files = await writeRest(storage, config, ledger, table);
      ledger.files = await storage.verify(makeStep());
      ledger.state = "committing";
    }
    if (ledger.state === "committing") {
      await storage.publish(makeStep());
      ledger.state = "committed";
    }
    const older = Array.from({ length: generation - 1 }, (_, before) => ({
      ...stream,
      generation: before + 1,
      epochs: [1, 2, 3],
      currentEpoch: null,
    }));
    await storage.supersede(makeStream(generation), older);
    const own = { ...stream, generation, epochs: makeEpochs(epoch) };
    const keep = new Set(ledger.files.map((file) => file.path));
    await storage.clean([{ ...own, currentEpoch: null }], keep);
  } finally {
    await storage.close();
  }
}

/** What the objects themselves say is durable. */
export async function recover(
  storage: DestinationStorage,
  generation: number,
): Promise<readonly DurableReport[]> {
  const { reports, problems } = await storage.recover([
    {
      ...makeStream(generation),
      knownGenerations: makeEpochs(generation),
      resumed: true,
    },
  ]);
  if (problems[0]) throw new Error(problems[0].error.message);
  return reports;
}

async function writeRest(
  storage: DestinationStorage,
  config: S3DestinationConfig,
  ledger: Ledger,
  table: Table,
): Promise<SealedFile[]> {
  const { generation, epoch } = ledger;
  const recovered = await recover(storage, generation);
  for (const report of recovered) {
    ledger.durable.set(`${report.epoch}/${report.index}`, report.files);
  }
  const position = recovered.at(-1)?.position;
  let next =
    position?.kind === "key" ? Number(position.after[0]) + 1 : table.first;
  const files = [...ledger.durable.values()].flat();
  const intent = { ...stream, generation, epochs: makeEpochs(epoch) };
  const keep = new Set(files.map((file) => file.path));
  await storage.clean([{ ...intent, currentEpoch: epoch }], keep);
  const factory = await s3Driver.openWriters(
    makeContext(config, epoch, `run-${generation}`),
    1,
  );
  const writer = factory.createWriter({
    stream: makeStream(generation),
    partition: 0,
  });
  try {
    for (let index = 1; next <= table.last; index += 1) {
      const rows = await writeBatches(writer, table, next);
      next += rows;
      const sealed = await writer.seal(
        makeStamp(index, rows, {
          position: { kind: "key", after: [String(next - 1)] },
          last: next > table.last,
        }),
      );
      ledger.durable.set(`${epoch}/${index}`, sealed);
      files.push(...sealed);
    }
  } finally {
    writer.abandon();
    await factory.close();
  }
  return files;
}

async function writeBatches(
  writer: StreamWriter,
  table: Table,
  first: number,
): Promise<number> {
  let rows = 0;
  for (let batch = 0; batch < table.batchesPerCheckpoint; batch += 1) {
    const count = Math.min(table.batchRows, table.last - first - rows + 1);
    if (count <= 0) break;
    await writer.write(makeBatch(first + rows, count));
    rows += count;
  }
  return rows;
}
