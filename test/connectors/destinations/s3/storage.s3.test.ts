import { describe, expect, onTestFinished } from "vitest";

import type {
  DestinationStorage,
  RecoverTarget,
} from "../../../../connectors/destinations/destination.ts";
import type { S3DestinationConfig } from "../../../../connectors/destinations/s3/config.ts";
import { s3Driver } from "../../../../connectors/destinations/s3/driver.ts";
import type { SealedFile } from "../../../../proto/checkpoint.ts";
import type { CommitStep } from "../../../../proto/control.ts";
import { test, type S3Fixture } from "../../../fixtures/s3.ts";
import {
  digestOf,
  makeBatch,
  makeStamp,
  readTable,
  schema,
  stream as streamName,
} from "../file/table.ts";
import { recover } from "./attempt.ts";
import {
  PREFIX,
  download,
  listPaths,
  makeConfig,
  makeContext,
  useKeys,
} from "./config.ts";

const FOLDER = "public/orders";
const MANIFEST = `${FOLDER}/_manifest.json`;

async function openStorage(
  config: S3DestinationConfig,
  epoch = 1,
): Promise<DestinationStorage> {
  const storage = await s3Driver.openStorage(makeContext(config, epoch));
  onTestFinished(() => storage.close());
  return storage;
}

/** One checkpoint of ten rows. */
async function writeCheckpoint(
  config: S3DestinationConfig,
  {
    epoch = 1,
    generation = 1,
    first = 1,
    index = 1,
  }: {
    epoch?: number;
    generation?: number;
    first?: number;
    index?: number;
  } = {},
): Promise<readonly SealedFile[]> {
  const factory = await s3Driver.openWriters(makeContext(config, epoch), 1);
  const stream = { schema, generation, planVersion: 1 };
  const writer = factory.createWriter({ stream, partition: 0 });
  await writer.write(makeBatch(first, 10));
  const files = await writer.seal(makeStamp(index, 10, { last: true }));
  await factory.close();
  return files;
}

function makeStep(
  files: readonly SealedFile[],
  more: { generation?: number; mode?: string } = {},
): CommitStep {
  const { generation = 1, mode = "full-refresh-overwrite" } = more;
  return {
    stream: { schema, generation, planVersion: 1 },
    mode,
    files,
    committedAt: "2025-01-02T03:04:05.000Z",
  };
}

function makeTarget(more: Partial<RecoverTarget> = {}): RecoverTarget {
  return {
    schema,
    generation: 1,
    planVersion: 1,
    knownGenerations: [1],
    resumed: true,
    ...more,
  };
}

async function readManifest(s3: S3Fixture): Promise<{
  readonly rows: number;
  readonly generations: readonly { generation: number; epochs: number[] }[];
}> {
  const text = (await s3.read(`${PREFIX}/${MANIFEST}`)).toString();
  return JSON.parse(text) as Awaited<ReturnType<typeof readManifest>>;
}

describe("a commit", () => {
  test("makes the generation what readers see, twice if need be, and removes the one before", async ({
    s3,
  }) => {
    useKeys(s3);
    const config = makeConfig(s3);
    const storage = await openStorage(config);
    const old = await writeCheckpoint(config);
    await storage.publish(makeStep(await storage.verify(makeStep(old))));
    const files = await writeCheckpoint(config, { generation: 2, first: 100 });
    const step = makeStep(files, { generation: 2 });
    await storage.verify(step);
    await storage.publish(step);
    await storage.publish(step);
    expect(await readManifest(s3)).toMatchObject({
      rows: 10,
      generations: [{ generation: 2, epochs: [1] }],
    });
    const intents = [
      { ...streamName, generation: 1, epochs: [1], currentEpoch: null },
      { ...streamName, generation: 2, epochs: [1], currentEpoch: null },
    ];
    await storage.supersede(step.stream, intents);
    await storage.supersede(step.stream, intents);
    expect(await listPaths(s3)).toEqual(
      [MANIFEST, files[0]?.path ?? ""].sort(),
    );
    const root = await download(s3);
    expect(await readTable(`${root}/**/*.parquet`)).toEqual(digestOf(100, 109));
  });

  test("adds a generation under append, and none for a run without rows", async ({
    s3,
  }) => {
    useKeys(s3);
    const config = makeConfig(s3);
    const storage = await openStorage(config);
    for (const generation of [1, 2]) {
      const files = await writeCheckpoint(config, {
        generation,
        first: generation * 10,
      });
      const step = makeStep(files, { generation, mode: "incremental-append" });
      await storage.publish({ ...step, files: await storage.verify(step) });
    }
    const nothing = makeStep([], { generation: 3, mode: "incremental-append" });
    expect(await storage.verify(nothing)).toEqual([]);
    await storage.publish(nothing);
    expect(await readManifest(s3)).toMatchObject({
      rows: 20,
      generations: [{ generation: 1 }, { generation: 2 }],
    });
  });

  test("of a table without rows is one empty file, however often it is verified", async ({
    s3,
  }) => {
    useKeys(s3);
    const storage = await openStorage(makeConfig(s3));
    const first = await storage.verify(makeStep([]));
    expect(await storage.verify(makeStep([]))).toEqual(first);
    expect(first).toMatchObject([
      { path: `${FOLDER}/g000001/p00000-e001-s000000-00.parquet`, rows: 0 },
    ]);
    await storage.publish(makeStep(first));
    const root = await download(s3);
    expect(await readTable(`${root}/**/*.parquet`)).toEqual(digestOf(1, 0));
  });

  test("refuses a file that is missing, of another size, or not listed", async ({
    s3,
  }) => {
    useKeys(s3);
    const config = makeConfig(s3);
    const storage = await openStorage(config);
    const [file] = await writeCheckpoint(config);
    if (!file) throw new Error("nothing was sealed");
    const gone = { ...file, path: file.path.replace("-00.", "-07.") };
    for (const [files, says] of [
      [[file, gone], "is missing"],
      [[{ ...file, bytes: 7 }], "instead of 7"],
      [[], "does not belong to the table"],
    ] as const)
      await expect(storage.verify(makeStep(files))).rejects.toMatchObject({
        code: "DESTINATION_FAILED",
        message: expect.stringContaining(says),
      });
  });

  test("does not replace a manifest that changes meanwhile", async ({
    s3,
    proxy,
  }) => {
    useKeys(s3);
    const config = makeConfig({ ...s3, endpoint: proxy.endpoint });
    const storage = await openStorage(config);
    const files = await writeCheckpoint(config);
    await storage.publish(makeStep(files));
    proxy.hold("PutObject");
    const publishing = storage.publish({
      ...makeStep(files),
      committedAt: "2025-01-02T03:04:06.000Z",
    });
    const refused = expect(publishing).rejects.toMatchObject({
      code: "DESTINATION_FOREIGN",
      message: expect.stringContaining("was changed by another program"),
    });
    await expect
      .poll(() => proxy.operations().filter((name) => name === "PutObject"))
      .toHaveLength(3);
    await s3.write(`${PREFIX}/${MANIFEST}`, "another's");
    proxy.release();
    await refused;
    expect((await s3.read(`${PREFIX}/${MANIFEST}`)).toString()).toBe(
      "another's",
    );
  });

  test("whose answer was lost is found done", async ({ s3, proxy }) => {
    useKeys(s3, { AWS_MAX_ATTEMPTS: "3" });
    const config = makeConfig({ ...s3, endpoint: proxy.endpoint });
    const storage = await openStorage(config);
    const files = await writeCheckpoint(config);
    let lost = 0;
    proxy.findFault = ({ operation }) =>
      operation === "PutObject" && lost++ === 0 ? { kind: "loseAnswer" } : null;
    await storage.publish(makeStep(files));
    expect(lost).toBe(2);
    expect(await readManifest(s3)).toMatchObject({ rows: 10 });
  });
});

describe("what lies there already", () => {
  test("stops the run where this ledger did not write it", async ({ s3 }) => {
    useKeys(s3);
    const config = makeConfig(s3);
    const storage = await openStorage(config);
    const files = await writeCheckpoint(config);
    const find = async (target: RecoverTarget) =>
      (await storage.recover([target])).problems[0]?.error;
    expect(await find(makeTarget({ knownGenerations: [] }))).toMatchObject({
      code: "DESTINATION_FOREIGN",
      message: expect.stringContaining("generation 1 is not in this ledger"),
    });
    await storage.publish(makeStep(files));
    expect(await find(makeTarget())).toBeUndefined();
    const other = await s3Driver.openStorage({
      ...makeContext(config),
      syncId: "sync-2",
    });
    onTestFinished(() => other.close());
    const { problems } = await other.recover([makeTarget()]);
    expect(problems[0]?.error).toMatchObject({
      code: "DESTINATION_FOREIGN",
      message: expect.stringContaining("another sync"),
    });
    await s3.write(`${PREFIX}/${MANIFEST}`, "{}");
    expect(await find(makeTarget())).toMatchObject({
      code: "DESTINATION_FOREIGN",
    });
  });

  test("is named when readers by pattern would read it too", async ({ s3 }) => {
    useKeys(s3);
    const storage = await openStorage(makeConfig(s3));
    await s3.write(`${PREFIX}/${FOLDER}/old.parquet`, "x");
    await s3.write(`${PREFIX}/${FOLDER}/backup/old.parquet`, "x");
    await s3.write(`${PREFIX}/${FOLDER}2/other.parquet`, "x");
    const { strangers, problems } = await storage.recover([makeTarget()]);
    expect(problems).toEqual([]);
    expect(strangers).toEqual([`${FOLDER}/old.parquet`, `${FOLDER}/backup/`]);
  });

  test("counts only when its marker is whole and of this place", async ({
    s3,
  }) => {
    useKeys(s3);
    const config = makeConfig(s3, "csv", { fileBytesMax: 1 });
    const storage = await openStorage(config);
    const files = await writeCheckpoint(config);
    expect(await recover(storage, 1)).toMatchObject([{ index: 1, files }]);
    const name = files[0]?.path.split("/").at(-1) ?? "";
    const marker = `${PREFIX}/${FOLDER}/g000001/.${name}.checkpoint.json`;
    const text = (await s3.read(marker)).toString();
    for (const changed of [
      text.slice(1),
      text.replace('"epoch":1', '"epoch":2'),
      text.replace("orders", "others"),
      text.replace('"rows":10,"bytes"', '"rows":11,"bytes"'),
    ]) {
      expect(changed).not.toBe(text);
      await s3.write(marker, changed);
      expect(await recover(storage, 1)).toEqual([]);
    }
    await s3.write(marker, text);
    expect(await recover(storage, 1)).toHaveLength(1);
    await s3.write(`${PREFIX}/${files[0]?.path}`, "shorter");
    expect(await recover(storage, 1)).toEqual([]);
  });

  test("does not count when a Parquet footer is cut or copied from elsewhere", async ({
    s3,
  }) => {
    useKeys(s3);
    const config = makeConfig(s3);
    const storage = await openStorage(config);
    const [file] = await writeCheckpoint(config);
    const key = `${PREFIX}/${file?.path}`;
    const bytes = await s3.read(key);
    expect(await recover(storage, 1)).toHaveLength(1);
    await s3.writeBytes(key.replace("-00.", "-05."), bytes);
    expect(await recover(storage, 1)).toHaveLength(1);
    for (const cut of [
      bytes.subarray(0, -1),
      bytes.subarray(0, 3),
      Buffer.alloc(0),
    ]) {
      await s3.writeBytes(key, cut);
      expect(await recover(storage, 1)).toEqual([]);
    }
  });

  test("says nothing when it cannot be read", async ({ s3, proxy }) => {
    useKeys(s3);
    const config = makeConfig({ ...s3, endpoint: proxy.endpoint });
    const storage = await openStorage(config);
    await writeCheckpoint(config);
    proxy.findFault = ({ operation, path }) =>
      operation === "GetObject" && path.includes(".parquet")
        ? { kind: "answer", status: 500, code: "InternalError" }
        : null;
    const { reports, problems } = await storage.recover([makeTarget()]);
    expect(reports).toEqual([]);
    expect(problems[0]?.error.code).toBe("DESTINATION_FAILED");
  });
});

describe("clean-up", () => {
  test("takes what an intent covers and its epoch has left, uploads too, and nothing else", async ({
    s3,
  }) => {
    useKeys(s3);
    const config = makeConfig(s3, "csv", { fileBytesMax: 1 });
    const storage = await openStorage(config, 3);
    const [kept] = await writeCheckpoint(config, { epoch: 1 });
    await writeCheckpoint(config, { epoch: 1, index: 2 });
    const [current] = await writeCheckpoint(config, { epoch: 3 });
    const folder = `${PREFIX}/${FOLDER}/g000001`;
    const others = [
      `${folder}/notes.txt`,
      `${folder}/p00000-e001-w0000000-00.csv`,
      `${folder}/deep/p00000-e001-w00000000-00.csv`,
      `${PREFIX}/${FOLDER}/g000002/p00000-e001-w00000000-00.csv`,
    ];
    for (const key of others) await s3.write(key, "another's");
    await s3.beginUpload(`${folder}/p00000-e001-wffffffff-00.csv`);
    await s3.beginUpload(`${folder}/p00000-e003-wffffffff-00.csv`);
    await s3.beginUpload(`${folder}/somebody.csv`);
    const intent = {
      ...streamName,
      generation: 1,
      epochs: [1, 2, 3],
      currentEpoch: 3,
    };
    const keep = new Set([kept?.path ?? ""]);
    expect(await storage.clean([intent], keep)).toBe(3);
    expect(await storage.clean([intent], keep)).toBe(0);
    const keys = (await s3.listObjects()).map(({ key }) => key);
    const sidecar = (path = ""): string =>
      path.replace(/([^/]+)$/, ".$1.checkpoint.json");
    expect(keys).toEqual(
      [
        ...others,
        ...[kept, current].flatMap((file) => [
          `${PREFIX}/${file?.path}`,
          `${PREFIX}/${sidecar(file?.path)}`,
        ]),
      ].toSorted(),
    );
    expect(await s3.listUploads()).toEqual([
      `${folder}/p00000-e003-wffffffff-00.csv`,
      `${folder}/somebody.csv`,
    ]);
  });

  test("without an intent takes nothing", async ({ s3 }) => {
    useKeys(s3);
    const config = makeConfig(s3);
    const storage = await openStorage(config, 2);
    const files = await writeCheckpoint(config);
    expect(await storage.clean([], new Set())).toBe(0);
    expect(await listPaths(s3)).toEqual(files.map(({ path }) => path));
  });

  test("takes files that came with rows with the last of these, and not before", async ({
    s3,
  }) => {
    useKeys(s3);
    const config = makeConfig(s3);
    const storage = await openStorage(config, 2);
    const [row] = await writeCheckpoint(config);
    const folder = `${FOLDER}/g000001`;
    const copied = `${folder}/_files/a/p00000-e001-w00000000-00.parquet`;
    await s3.write(`${PREFIX}/${copied}`, "another table's");
    await s3.beginUpload(`${PREFIX}/${folder}/_files/b`);
    const intent = { ...streamName, generation: 1, epochs: [1] };
    const over = [{ ...intent, currentEpoch: null }];
    expect(await storage.clean(over, new Set([row?.path ?? ""]))).toBe(1);
    expect(await s3.listUploads()).toEqual([]);
    expect(new Set(await listPaths(s3))).toEqual(new Set([copied, row?.path]));
    // another attempt at the same generation copies them once more
    const next = [{ ...intent, epochs: [1, 2], currentEpoch: 2 }];
    expect(await storage.clean(next, new Set())).toBe(1);
    expect(await listPaths(s3)).toEqual([copied]);
    expect(await storage.clean(over, new Set())).toBe(1);
    expect(await listPaths(s3)).toEqual([]);
  });

  test("never takes what the manifest in place lists", async ({ s3 }) => {
    useKeys(s3);
    const config = makeConfig(s3);
    const storage = await openStorage(config, 2);
    const files = await writeCheckpoint(config);
    await storage.publish(makeStep(files));
    const intent = { ...streamName, generation: 1, epochs: [1, 2] };
    const cleaned = [{ ...intent, currentEpoch: 2 }];
    expect(await storage.clean(cleaned, new Set())).toBe(0);
  });
});

test("streams that would share a folder are refused, and so is a folder without room for names", async ({
  s3,
}) => {
  useKeys(s3);
  const config = makeConfig(s3, "parquet", { pathTemplate: "{stream}" });
  const storage = await openStorage(config);
  const twin = makeTarget({ schema: { ...schema, namespace: "other" } });
  await expect(storage.recover([makeTarget(), twin])).rejects.toMatchObject({
    code: "USAGE",
  });
  const long = await openStorage(
    makeConfig(s3, "parquet", {
      pathTemplate: `${"x".repeat(190)}/${"y".repeat(190)}/${"z".repeat(190)}/${"u".repeat(190)}/${"v".repeat(190)}/{stream}`,
    }),
  );
  const { problems } = await long.recover([makeTarget()]);
  expect(problems[0]?.error).toMatchObject({ code: "USAGE" });
});
