/** Files as the destination process uses them. */
import type { SealedFile } from "../../../proto/checkpoint.ts";
import type { CommitStep } from "../../../proto/control.ts";
import { toWireError } from "../../../proto/error.ts";
import { checkPosition, isChangeStream } from "../change-rows.ts";
import { findFileColumn } from "../../airbyte/file-reference.ts";
import { CopyingWriter } from "../copying-writer.ts";
import { OrderedWriter } from "../ordered-writer.ts";
import type {
  Applied,
  ApplyStep,
  DestinationContext,
  DestinationDriver,
  DestinationStorage,
  RecoverTarget,
  Recovery,
  WriterFactory,
} from "../destination.ts";
import { checkDistinctFolders, generationPath } from "../layout/names.ts";
import { checkFolderColumns } from "../layout/open-folders.ts";
import {
  checkForeign,
  cleanUp,
  hasEarlierFiles,
  prepareRoot,
  publishCommit,
  publishLog,
  recoverCheckpoints,
  removeSuperseded,
  verifyCommit,
  writeEmptyFile,
  type CommitOrder,
  type ManifestMode,
} from "./commit.ts";
import type { FileDestinationConfig } from "./config.ts";
import { CopiedFiles, findCopied } from "./copied-files.ts";
import { PartitionWriter } from "./writer.ts";

function readConfig({ config }: DestinationContext): FileDestinationConfig {
  return config as DestinationContext["config"] & FileDestinationConfig;
}

class FileStorage implements DestinationStorage {
  readonly #context: DestinationContext;
  readonly #config: FileDestinationConfig;

  constructor(context: DestinationContext) {
    this.#context = context;
    this.#config = readConfig(context);
  }

  async prepare(): Promise<void> {
    await prepareRoot(this.#config);
  }

  async recover(streams: readonly RecoverTarget[]): Promise<Recovery> {
    const reports: Recovery["reports"][number][] = [];
    const problems: Recovery["problems"][number][] = [];
    const strangers: string[] = [];
    checkDistinctFolders(
      this.#config.pathTemplate,
      streams.map(({ schema }) => schema),
    );
    for (const { schema, generation, knownGenerations, resumed } of streams) {
      try {
        checkFolderColumns(schema, this.#config.partitionBy ?? []);
        const folder = checkForeign(
          this.#config,
          schema,
          new Set(knownGenerations),
          this.#context.syncId,
        );
        strangers.push(...folder.strangers);
        if (!resumed) continue;
        reports.push(
          ...(await recoverCheckpoints(this.#config, schema, generation)),
        );
      } catch (error) {
        problems.push({ stream: schema.number, error: toWireError(error) });
      }
    }
    return { reports, problems, strangers };
  }

  async clean(
    ...[intents, keep]: Parameters<DestinationStorage["clean"]>
  ): Promise<number> {
    const { removed } = await cleanUp(this.#config, intents, keep);
    return removed.length;
  }

  async verify(step: CommitStep): Promise<readonly SealedFile[]> {
    const { runId, epoch } = this.#context.attempt;
    const { schema, generation, planVersion } = step.stream;
    const place = { config: this.#config, schema, generation };
    const files =
      step.files.length > 0 || hasEarlierFiles({ ...place, mode: step.mode })
        ? step.files
        : [await writeEmptyFile({ ...place, run: runId, epoch, planVersion })];
    await verifyCommit(this.#commitOrder({ ...step, files }));
    return files;
  }

  async publish(step: CommitStep): Promise<void> {
    const { schema, generation } = step.stream;
    const folder = generationPath(
      this.#config.pathTemplate,
      schema,
      generation,
    );
    const copied =
      findFileColumn(schema) === null
        ? []
        : findCopied(this.#config.root, folder);
    await publishCommit({ ...this.#commitOrder(step), copied });
  }

  async apply(step: ApplyStep): Promise<Applied> {
    const { upTo, consistentFrom } = step.log;
    checkPosition(upTo);
    const rows = await publishLog(this.#commitOrder(step));
    const isConsistent = consistentFrom === null || upTo >= consistentFrom;
    return { upTo, rows, isConsistent };
  }

  async supersede(
    ...[{ schema }, intents]: Parameters<DestinationStorage["supersede"]>
  ): Promise<void> {
    await removeSuperseded(this.#config, schema, intents);
  }

  async close(): Promise<void> {
    // nothing is open between two steps
  }

  #commitOrder(step: CommitStep): CommitOrder {
    const { attempt, syncId } = this.#context;
    return {
      config: this.#config,
      schema: step.stream.schema,
      syncId,
      runId: attempt.runId,
      mode: step.mode as ManifestMode,
      generation: step.stream.generation,
      epoch: attempt.epoch,
      files: step.files,
      committedAt: step.committedAt,
      ...(step.log ? { log: step.log } : {}),
    };
  }
}

export const fileDriver: DestinationDriver = {
  openStorage: async (context) => new FileStorage(context),
  async openWriters(context): Promise<WriterFactory> {
    const config = readConfig(context);
    const { epoch, runId } = context.attempt;
    return {
      createWriter({ stream, partition }) {
        const options = { config, epoch, runId, partition, ...stream };
        const writer = new PartitionWriter(options);
        const column = findFileColumn(stream.schema);
        if (column !== null)
          return new CopyingWriter(
            stream.schema,
            column,
            writer,
            new CopiedFiles(config, options),
          );
        return isChangeStream(stream.schema)
          ? new OrderedWriter(stream.schema, writer)
          : writer;
      },
      close: async () => {},
    };
  },
};
