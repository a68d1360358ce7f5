/** The destination's storage steps, as the bookkeeper orders them: each order ends in one fact. */
import {
  checkForeign,
  cleanUp,
  publishCommit,
  recoverCheckpoints,
  removeSuperseded,
  hasEarlierFiles,
  verifyCommit,
  writeEmptyFile,
  type CommitOrder,
  type ManifestMode,
} from "../../connectors/destinations/file/commit.ts";
import { checkDistinctFolders } from "../../connectors/destinations/file/names.ts";
import type { FileDestinationConfig } from "../../connectors/destinations/file/config.ts";
import type { DurableReport } from "../../proto/checkpoint.ts";
import type {
  CommitStep,
  DestinationFact,
  DestinationSettings,
} from "../../proto/control.ts";
import { toWireError, type WireError } from "../../proto/error.ts";
import type { StorageOrder } from "./destination-process.machine.ts";

type OrderOf<Type extends StorageOrder["type"]> = Extract<
  StorageOrder,
  { type: Type }
>;

export class FileStorage {
  readonly #settings: DestinationSettings;
  readonly #config: FileDestinationConfig;

  constructor(settings: DestinationSettings) {
    this.#settings = settings;
    this.#config = settings.config as FileDestinationConfig;
  }

  /** @throws ExtractError of the destination */
  async carryOut(order: StorageOrder): Promise<DestinationFact> {
    switch (order.type) {
      case "destination.recover":
        return this.#recover(order);
      case "destination.clean": {
        const { removed } = await cleanUp(
          this.#config,
          order.intents,
          new Set(order.keep),
        );
        return { type: "destination.cleaned", removed: removed.length };
      }
      case "stream.verify":
        return this.#verify(order);
      case "stream.publish":
        await publishCommit(this.#commitOrder(order));
        return { type: "stream.published", stream: order.stream.schema.number };
      case "stream.supersede": {
        const { namespace, name, number } = order.stream.schema;
        await removeSuperseded(
          this.#config,
          { namespace, name },
          order.intents,
        );
        return { type: "stream.superseded", stream: number };
      }
    }
  }

  async #recover(
    order: OrderOf<"destination.recover">,
  ): Promise<DestinationFact> {
    const reports: DurableReport[] = [];
    const problems: { stream: number; error: WireError }[] = [];
    const strangers: string[] = [];
    checkDistinctFolders(
      this.#config.pathTemplate,
      order.streams.map(({ schema }) => schema),
    );
    for (const {
      schema,
      generation,
      knownGenerations,
      resumed,
    } of order.streams) {
      try {
        const folder = checkForeign(
          this.#config,
          schema,
          new Set(knownGenerations),
          this.#settings.syncId,
        );
        strangers.push(...folder.strangers);
        if (resumed)
          reports.push(
            ...(await recoverCheckpoints(this.#config, schema, generation)),
          );
      } catch (error) {
        problems.push({ stream: schema.number, error: toWireError(error) });
      }
    }
    return { type: "destination.recovered", reports, problems, strangers };
  }

  async #verify(order: OrderOf<"stream.verify">): Promise<DestinationFact> {
    const { stream } = order;
    const { runId, epoch } = this.#settings.attempt;
    const { config, schema, generation, planVersion } = {
      config: this.#config,
      ...stream,
    };
    const files =
      order.files.length > 0 ||
      hasEarlierFiles({ config, schema, generation, mode: order.mode })
        ? order.files
        : [
            await writeEmptyFile({
              config,
              schema,
              run: runId,
              generation,
              epoch,
              planVersion,
            }),
          ];
    await verifyCommit(this.#commitOrder({ ...order, files }));
    return { type: "stream.verified", stream: stream.schema.number, files };
  }

  #commitOrder(step: CommitStep): CommitOrder {
    const { attempt, syncId } = this.#settings;
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
    };
  }
}
