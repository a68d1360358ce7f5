/** A foreign source that is read into memory: what its rows were, what its states covered, and how it has ended. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { sortFields } from "../../../connectors/airbyte/catalog.ts";
import {
  ForeignInput,
  type ForeignSockets,
} from "../../../connectors/channels/foreign-input.ts";
import { MessageRows } from "../../../connectors/channels/message-rows.ts";
import type { StateGroup } from "../../../connectors/channels/message-streams.ts";
import type { ReadRows } from "../../../connectors/channels/source-rows.ts";
import type { AirbyteSettings } from "../../../connectors/sources/airbyte/config.ts";
import {
  discoverForeign,
  type ForeignStream,
} from "../../../connectors/sources/airbyte/driver.ts";
import { RecordDecoder } from "../../../connectors/sources/airbyte/record-decoder.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";
import { toWireError, type WireError } from "../../../proto/error.ts";
import { repositoryRoot } from "../../arrows.ts";

/** Without what the installation may have put beside it. */
export const pythonSource = [
  "python3",
  "-S",
  "-E",
  join(repositoryRoot, "test/fixtures/airbyte/source.py"),
];

/** @returns the file's path */
export function writeCatalog(
  folder: string,
  streams: readonly string[],
): string {
  const config = join(folder, "config.json");
  writeFileSync(config, JSON.stringify({ streams }));
  const [command = "", ...args] = pythonSource;
  const told = execFileSync(command, [
    ...args,
    "discover",
    "--config",
    config,
  ]).toString();
  const path = join(folder, "catalog.json");
  writeFileSync(path, told.trimEnd().split("\n").at(-1) ?? "");
  return path;
}

export interface Outcome {
  readonly error: WireError | null;
  /** By stream: the values of the column `id`, in the order in which they were handed on. */
  readonly ids: Readonly<Record<string, readonly number[]>>;
  /** By stream: how many rows the states that were told of cover. */
  readonly covered: Readonly<Record<string, number>>;
  readonly groups: readonly StateGroup[];
  readonly failed: readonly {
    readonly stream: string;
    readonly code: string;
  }[];
  readonly log: readonly string[];
}

export interface ReadOptions {
  readonly settings: AirbyteSettings;
  readonly sockets?: Omit<ForeignSockets, "paths"> & { readonly count: number };
  readonly stdin?: string;
  readonly policy?: "error" | "null";
  readonly rowBytesMax?: number;
  readonly state?: string;
  /** Seconds of rows between two checkpoints: 0 is one for each state. */
  readonly checkpointEveryMs?: number;
  readonly failsAlone?: boolean;
  /** Names of columns that are read back. */
  onBatch?(stream: ForeignStream, batch: ColumnBatch): void;
}

export async function readForeign(options: ReadOptions): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-foreign-"));
  try {
    return await readInto(folder, options);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function readInto(
  folder: string,
  {
    settings,
    sockets,
    stdin = "",
    policy = "error",
    rowBytesMax = 1 << 20,
    state,
    checkpointEveryMs = 0,
    failsAlone = true,
    onBatch = () => {},
  }: ReadOptions,
): Promise<Outcome> {
  const log: string[] = [];
  const { streams: found } = await discoverForeign(
    settings,
    { include: [], exclude: [], columns: null },
    (line) => log.push(line),
  );
  const streams = found as readonly ForeignStream[];
  const lanes = sockets?.count ?? 1;
  const ids: Record<string, number[]> = {};
  const covered: Record<string, number> = {};
  const rowsOf = new Map<string, number>();
  const indexes = new Map<number, number>();
  const groups: StateGroup[] = [];
  const failed: { stream: string; code: string }[] = [];
  const nameOf = (number: number): string =>
    streams.find(({ schema }) => schema.number === number)?.schema.name ?? "";

  const rows = new MessageRows({
    streams: streams.map((stream) => ({
      number: stream.schema.number,
      namespace: stream.schema.namespace,
      name: stream.schema.name,
      isIncremental: true,
      lanes: Array.from({ length: lanes }, (_, partition) => ({
        rows: collect(stream, partition),
        decoder: new RecordDecoder(stream.schema, {
          fields: sortFields(
            Object.keys(stream.catalog.json_schema["properties"] as object),
          ),
          policy,
          meta: settings.meta ?? [],
          syncId: 7,
          generation: 3,
          rowBytesMax,
          valueNulled: (column, reason) => log.push(`${column}: ${reason}`),
          fieldIgnored: (name) => log.push(`ignored ${name}`),
        }),
      })),
    })),
    epoch: 1,
    checkpointEveryMs,
    hasPartitions: sockets !== undefined,
    keepsStates: false,
    failsAlone,
    events: {
      onGroup: (group) => {
        groups.push(group);
        for (const { stream, index } of group.members) {
          const name = nameOf(stream);
          covered[name] =
            (covered[name] ?? 0) + (rowsOf.get(`${stream}/${index}`) ?? 0);
        }
      },
      onStreamFailed: (stream, { code }) =>
        failed.push({ stream: nameOf(stream), code }),
      onLog: (level, message) => log.push(`${level}: ${message}`),
      onStatus: () => {},
      onEstimate: (_, { rows: count }) => log.push(`estimate ${count}`),
    },
  });

  /** What a channel would be given: batches, and checkpoints that get their index a little later. */
  function collect(stream: ForeignStream, partition: number): ReadRows {
    const { number, name } = stream.schema;
    let since = 0;
    const sink = {
      batch: async (batch: ColumnBatch) => {
        onBatch(stream, batch);
        const at = stream.schema.columns.findIndex((one) => one.name === "id");
        const data = batch.columns[at]?.data ?? new Uint8Array(0);
        const view = new DataView(data.buffer, data.byteOffset);
        for (let row = 0; row < batch.rowCount; row++)
          (ids[name] ??= []).push(Number(view.getBigInt64(8 * row, true)));
        since += batch.rowCount;
        await Promise.resolve();
      },
      checkpoint: async () => {
        const index = (indexes.get(number) ?? 0) + 1;
        indexes.set(number, index);
        rowsOf.set(`${number}/${index}`, since);
        since = 0;
        setImmediate(() => rows.giveIndex(number, partition, index));
        await Promise.resolve();
      },
      giveIndex: () => {},
    };
    return sink as unknown as ReadRows;
  }

  const input = new ForeignInput({
    settings,
    sockets:
      sockets === undefined
        ? null
        : {
            ...sockets,
            paths: Array.from({ length: sockets.count }, (_, i) =>
              join(folder, `airbyte_socket_${i + 1}.sock`),
            ),
          },
    files: {
      config: JSON.stringify(settings.config ?? {}),
      catalog: JSON.stringify({
        streams: streams.map(({ catalog }) => ({
          stream: catalog,
          sync_mode: "incremental",
          destination_sync_mode: "append",
        })),
      }),
      ...(state === undefined ? {} : { state }),
    },
    rowBytesMax,
    rows,
    stdin: () => Readable.from([Buffer.from(stdin)], { objectMode: false }),
    onLog: (level, message) => log.push(`${level}: ${message}`),
    onStarted: () => {},
  });
  let error: WireError | null = null;
  try {
    await input.run();
  } catch (cause) {
    error = toWireError(cause);
  }
  return { error, ids, covered, groups, failed, log };
}
