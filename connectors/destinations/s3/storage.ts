/**
 * The steps of a commit, in the main thread. An object that S3 has acknowledged is durable, and seen by whoever lists or
 * reads behind it, so that nothing has to be synced.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";

import type { SealedFile } from "../../../proto/checkpoint.ts";
import type {
  CommitStep,
  DestinationStream,
  GenerationIntent,
} from "../../../proto/control.ts";
import { ExtractError, toWireError } from "../../../proto/error.ts";
import { createFileFormat } from "../../formats/index.ts";
import { findFileColumn } from "../../airbyte/file-reference.ts";
import { checkPosition } from "../change-rows.ts";
import type {
  Applied,
  ApplyStep,
  DestinationContext,
  DestinationStorage,
  RecoverTarget,
  Recovery,
} from "../destination.ts";
import { mapBounded } from "../layout/bounded.ts";
import { listCopied, type CopiedFile } from "../layout/copied-files.ts";
import {
  STRANGERS_MAX,
  checkManifest,
  refuseGeneration,
} from "../layout/foreign.ts";
import { hasEarlierFiles } from "../layout/manifest.ts";
import type { ManifestMode, ManifestOrder } from "../layout/manifest.ts";
import {
  MANIFEST_NAME,
  checkDistinctFolders,
  fileName,
  generationPath,
  parseDataName,
  parseGenerationFolder,
  parsePathTemplate,
  splitInnerPath,
  streamFolder,
} from "../layout/names.ts";
import { checkFolderColumns } from "../layout/open-folders.ts";
import { PartitionFiles } from "../layout/partition-files.ts";
import { S3Bucket, drawToken } from "./bucket.ts";
import { cleanUp } from "./clean-up.ts";
import { S3Connection } from "./client.ts";
import { KEY_BYTES_MAX } from "./config.ts";
import type { S3DestinationConfig } from "./config.ts";
import { publishManifest, readManifest } from "./manifest.ts";
import { recoverCheckpoints } from "./recovery.ts";

/** Streams looked at together; each asks for one thing after the other. */
const STREAMS_AT_ONCE = 4;
/** The longest name that stands in a generation's folder, its folder included. */
const NAME_BYTES_MAX = 160;

export class S3Storage implements DestinationStorage {
  readonly #context: DestinationContext;
  readonly #config: S3DestinationConfig;
  readonly #connection: S3Connection;
  readonly #bucket: S3Bucket;

  constructor(
    context: DestinationContext,
    config: S3DestinationConfig,
    connection: S3Connection,
  ) {
    this.#context = context;
    this.#config = config;
    this.#connection = connection;
    this.#bucket = new S3Bucket(config, connection);
  }

  /**
   * Tries all that a run will need: to list, to write under a name that nobody has, to be refused a name that somebody
   * has, to find uploads, to remove.
   */
  async prepare(): Promise<void> {
    parsePathTemplate(this.#config.pathTemplate);
    await this.#bucket.checkListing();
    await this.#bucket.listUploads(`.millrace-probe-${drawToken()}`);
    const path = `.millrace-probe-${randomBytes(8).toString("hex")}.tmp`;
    const body = Buffer.from("probe\n");
    const probe = { path, bytes: body.byteLength, token: drawToken() };
    try {
      await this.#bucket.putNew(probe, body);
      await this.#checkConditions(path, body);
    } catch (error) {
      await this.#bucket.remove([path]).catch(() => {
        // where it could not be made it cannot be removed either; the first error is the one that is told
      });
      throw error;
    }
    await this.#bucket.remove([path]);
  }

  async recover(streams: readonly RecoverTarget[]): Promise<Recovery> {
    checkDistinctFolders(
      this.#config.pathTemplate,
      streams.map(({ schema }) => schema),
    );
    const found = await mapBounded(
      streams,
      STREAMS_AT_ONCE,
      async (stream): Promise<Recovery> => {
        try {
          checkFolderColumns(stream.schema, this.#config.partitionBy ?? []);
          const strangers = await this.#checkForeign(stream);
          const { schema, generation, resumed } = stream;
          const reports = resumed
            ? await recoverCheckpoints(
                this.#config,
                this.#bucket,
                schema,
                generation,
              )
            : [];
          return { reports, problems: [], strangers };
        } catch (error) {
          const { number } = stream.schema;
          const problem = { stream: number, error: toWireError(error) };
          return { reports: [], problems: [problem], strangers: [] };
        }
      },
    );
    return {
      reports: found.flatMap(({ reports }) => reports),
      problems: found.flatMap(({ problems }) => problems),
      strangers: found.flatMap(({ strangers }) => strangers),
    };
  }

  async clean(
    intents: readonly GenerationIntent[],
    keep: ReadonlySet<string>,
  ): Promise<number> {
    const { removed } = await cleanUp(
      this.#config,
      this.#bucket,
      intents,
      keep,
    );
    return removed.length;
  }

  /** Beside the files of the step, their folder must hold no other data file: readers by pattern would read it. */
  async verify(step: CommitStep): Promise<readonly SealedFile[]> {
    const { schema, generation } = step.stream;
    const folder = generationPath(
      this.#config.pathTemplate,
      schema,
      generation,
    );
    const files =
      step.files.length > 0 || (await this.#hasEarlierFiles(step))
        ? step.files
        : [await this.#writeEmptyFile(step.stream, folder)];
    const found = await this.#bucket.listTree(folder);
    const listed = new Set(files.map(({ path }) => path));
    assert.equal(listed.size, files.length, "a file is listed twice");
    for (const { path, bytes } of files) {
      assert(path.startsWith(`${folder}/`), `${path} lies elsewhere`);
      const size = found.get(path.slice(folder.length + 1)) ?? null;
      if (size === bytes) continue;
      const url = this.#bucket.describe(path);
      throw new ExtractError(
        "DESTINATION_FAILED",
        size === null
          ? `${url} is missing`
          : `${url} has ${size} bytes instead of ${bytes}`,
        { path: url, bytesFound: size, bytesSealed: bytes },
      );
    }
    for (const name of found.keys()) {
      const path = `${folder}/${name}`;
      const inner = splitInnerPath(name);
      if (!inner || !parseDataName(inner.name) || listed.has(path)) continue;
      const url = this.#bucket.describe(path);
      throw new ExtractError(
        "DESTINATION_FAILED",
        `${url} does not belong to the table; a resume removes it`,
        { path: url },
      );
    }
    return files;
  }

  async publish(step: CommitStep): Promise<void> {
    await publishManifest(
      this.#config,
      this.#bucket,
      {
        ...this.#describeOrder(step),
        copied: await this.#listCopied(step.stream),
      },
      false,
    );
  }

  async #listCopied({
    schema,
    generation,
  }: DestinationStream): Promise<readonly CopiedFile[]> {
    if (findFileColumn(schema) === null) return [];
    const { pathTemplate } = this.#config;
    const folder = generationPath(pathTemplate, schema, generation);
    return listCopied(folder, await this.#bucket.listTree(folder));
  }

  async apply(step: ApplyStep): Promise<Applied> {
    const { upTo, consistentFrom } = step.log;
    checkPosition(upTo);
    const rows = await publishManifest(
      this.#config,
      this.#bucket,
      this.#describeOrder(step),
      true,
    );
    const isConsistent = consistentFrom === null || upTo >= consistentFrom;
    return { upTo, rows, isConsistent };
  }

  #describeOrder(step: CommitStep): ManifestOrder {
    const { attempt, syncId } = this.#context;
    return {
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

  /** The manifest is read again: what it lists is never removed, whatever the intents say. */
  async supersede(
    { schema }: DestinationStream,
    intents: readonly GenerationIntent[],
  ): Promise<void> {
    const found = await readManifest(this.#config, this.#bucket, schema);
    assert(found, "nothing is superseded before the manifest is written");
    const listed = new Set(
      found.manifest.generations.map(({ generation }) => generation),
    );
    const superseded = intents.filter((intent) => {
      assert(
        intent.namespace === schema.namespace && intent.name === schema.name,
      );
      return intent.currentEpoch === null && !listed.has(intent.generation);
    });
    await cleanUp(this.#config, this.#bucket, superseded, new Set());
  }

  async close(): Promise<void> {
    this.#connection.destroy();
  }

  /** A server that passes over the condition would let a late process replace what counts. */
  async #checkConditions(path: string, body: Buffer): Promise<void> {
    const isRefused = !(await this.#bucket.replace(path, body, null));
    if (isRefused) return;
    throw new ExtractError(
      "DESTINATION_UNWRITABLE",
      `${this.#bucket.describe("")}: the server replaced an object in spite of If-None-Match, and so cannot keep what was written`,
      { url: this.#bucket.describe(""), bucket: this.#config.bucket },
    );
  }

  /** Stops a run before it touches a folder that another ledger wrote. @returns what else lies in the folder */
  async #checkForeign(target: RecoverTarget): Promise<string[]> {
    const { schema, knownGenerations } = target;
    const folder = streamFolder(this.#config.pathTemplate, schema);
    this.#checkKeyLength(folder);
    const known = new Set(knownGenerations);
    const check = {
      stream: schema,
      folder,
      knownGenerations: known,
      syncId: this.#context.syncId,
    };
    const found = await readManifest(this.#config, this.#bucket, schema);
    const url = this.#bucket.describe(`${folder}/${MANIFEST_NAME}`);
    if (found) checkManifest(found.manifest, check, url);
    const { files, folders } = await this.#bucket.listFolder(folder);
    const strangers = [...files.keys()].filter(
      (name) => name !== MANIFEST_NAME,
    );
    for (const name of folders) {
      const generation = parseGenerationFolder(name);
      if (generation === null) strangers.push(`${name}/`);
      else if (!known.has(generation))
        throw refuseGeneration(
          this.#bucket.describe(`${folder}/${name}`),
          generation,
        );
    }
    return strangers.slice(0, STRANGERS_MAX).map((name) => `${folder}/${name}`);
  }

  #checkKeyLength(folder: string): void {
    const bytes = Buffer.byteLength(this.#bucket.keyOf(folder));
    if (bytes <= KEY_BYTES_MAX - NAME_BYTES_MAX) return;
    throw new ExtractError(
      "USAGE",
      `${this.#bucket.describe(folder)} leaves no room for names: keys have ${KEY_BYTES_MAX} bytes at most`,
      { folder, bytes },
    );
  }

  async #hasEarlierFiles({ mode, stream }: CommitStep): Promise<boolean> {
    if (mode === "full-refresh-overwrite") return false;
    const { schema, generation } = stream;
    const found = await readManifest(this.#config, this.#bucket, schema);
    return hasEarlierFiles(found?.manifest ?? null, generation, mode);
  }

  /**
   * The one file of a table without rows: it has the columns, so that readers of the folder find a table. A second time
   * in the same epoch finds the same file.
   */
  async #writeEmptyFile(
    { schema, generation, planVersion }: DestinationStream,
    folder: string,
  ): Promise<SealedFile> {
    const { runId, epoch } = this.#context.attempt;
    const origin = { schema, generation, epoch, runId, planVersion };
    const { pathTemplate, format: options } = this.#config;
    const place = new PartitionFiles({ ...origin, partition: 0 }, pathTemplate);
    const format = createFileFormat(schema, options);
    const pieces = format.createEncoder().finish(place.describePlace(0));
    const body = Buffer.concat(pieces);
    const name = fileName(
      { partition: 0, epoch, checkpoint: 0, number: 0 },
      format.extension,
    );
    const path = `${folder}/${name}`;
    const { files } = await this.#bucket.listFolder(folder);
    if (files.get(name) !== body.byteLength) {
      const bytes = body.byteLength;
      await this.#bucket.putNew({ path, bytes, token: drawToken() }, body);
    }
    return { path, rows: 0, bytes: body.byteLength };
  }
}
