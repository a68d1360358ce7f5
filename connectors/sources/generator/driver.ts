/** A source that makes its rows itself: for trials and benchmarks, without a server. */
import { createHash } from "node:crypto";

import type { Partition } from "../../../proto/partition.ts";
import { ExtractError } from "../../../proto/error.ts";
import { fixedWidthBytes } from "../../../proto/schema.ts";
import { holdNothing } from "../hold-nothing.ts";
import { columnNotFound, selectRelations } from "../selection.ts";
import type {
  DiscoveredStream,
  Discovery,
  FoundSplit,
  PartitionRead,
  PlanRequest,
  PlanSettings,
  ReadSink,
  ReadTask,
  SnapshotRef,
  SourceDriver,
  SourceSession,
  SplitRequest,
  StreamPlan,
  StreamSelection,
} from "../source.ts";
import { rangeOf, startGeneratedRead } from "./read.ts";
import { parseGeneratorUrl, type GeneratorConfig } from "./url.ts";

const NAMESPACE = "generator";
/** Bytes of a made-up word with its offset. */
const WORD_BYTES = 10;
/** There is one table, so its number needs not tell it from others. */
const TABLE_OID = 1;
const PARTITIONS_MAX = 1_024;
/** A range with fewer rows is not cut in two. */
const SPLIT_ROWS_MIN = 2;

class GeneratorSession implements SourceSession {
  readonly serverVersion = 0;
  readonly #config: GeneratorConfig;
  #usable = true;
  #read: PartitionRead | null = null;

  constructor(config: GeneratorConfig) {
    this.#config = config;
  }

  get usable(): boolean {
    return this.#usable;
  }

  async beginSnapshot(_snapshot: SnapshotRef | null): Promise<void> {
    // the rows never change
  }

  async discover(selection: StreamSelection): Promise<Discovery> {
    const table = { schema: NAMESPACE, name: this.#config.table };
    const { relations, warnings } = selectRelations(
      [{ ...table, pathPosition: 1, parents: [], fromExtension: false }],
      selection,
    );
    const streams = relations.map(() => this.#describe(selection.columns));
    return { serverVersion: 0, streams, problems: [], warnings };
  }

  #describe(wanted: readonly string[] | null): DiscoveredStream {
    const { table, columns, rows } = this.#config;
    const names = columns.map(({ name }) => name);
    const place = { schema: NAMESPACE, name: table };
    for (const name of wanted ?? [])
      if (!names.includes(name)) throw columnNotFound(place, name, names);
    const [key] = columns;
    const chosen = columns.filter(
      ({ name }) => !wanted || name === key?.name || wanted.includes(name),
    );
    const shape = chosen.map(({ name, kind, type }) => ({
      name,
      type: { kind },
      nullable: false,
      sourceType: type,
    }));
    return {
      schema: {
        number: 1,
        namespace: NAMESPACE,
        name: table,
        columns: shape,
        key: [key?.name ?? ""],
        fingerprint: createHash("sha256")
          .update(JSON.stringify(shape))
          .digest("hex"),
      },
      columns: chosen,
      relationKind: "table",
      leaves: [
        {
          oid: TABLE_OID,
          ...place,
          only: false,
          heap: false,
          fileNode: 0,
          pages: 0,
          rowEstimate: rows,
        },
      ],
      key: {
        name: "key",
        primary: true,
        columns: [{ name: key?.name ?? "", type: "bigint", exact: true }],
      },
      allColumnNames: names,
    };
  }

  async planStream(
    stream: DiscoveredStream,
    request: PlanRequest,
    settings: PlanSettings,
  ): Promise<StreamPlan> {
    if (request.where !== null)
      throw new ExtractError("USAGE", "a generator takes no --where");
    if (request.cursor !== null)
      throw new ExtractError(
        "CURSOR_UNUSABLE",
        "a generator has no rows that change, and so no cursor",
      );
    const { rows, rate } = this.#config;
    const rowBytes = bytesOfRow(stream);
    // a rate is that of the whole, and one reader keeps it
    const count = Math.max(
      1,
      Math.min(
        rate === null ? PARTITIONS_MAX : 1,
        settings.channels,
        rows,
        Math.floor((rows * rowBytes) / settings.partitionBytesMin),
      ),
    );
    const cut = (n: number): number => 1 + Math.floor((rows * n) / count);
    const partitions = Array.from({ length: count }, (_, n): Partition => {
      const inside = cut(n + 1) - cut(n);
      return {
        stream: stream.schema.number,
        ordinal: n,
        relation: {
          schema: NAMESPACE,
          name: stream.schema.name,
          oid: TABLE_OID,
        },
        only: false,
        split: {
          kind: "key",
          columns: stream.schema.key ?? [],
          types: ["bigint"],
          start: n === 0 ? null : [String(cut(n))],
          end: n === count - 1 ? null : [String(cut(n + 1))],
        },
        estimatedRows: inside,
        estimatedBytes: inside * rowBytes,
      };
    });
    const plan = {
      stream: stream.schema.number,
      rung: "keyRanges",
      reason: "any row can be made at any time",
      partitions,
      estimatedRows: rows,
      estimatedBytes: rows * rowBytes,
    } as const;
    return { plan, window: null };
  }

  async findSplit(
    _stream: DiscoveredStream,
    { range, resumeAfter, rowBytes, bytesMin }: SplitRequest,
  ): Promise<FoundSplit | null> {
    const { split } = range;
    if (split.kind !== "key" || this.#config.rate !== null) return null;
    const left = rangeOf(this.#config, { partition: range, resumeAfter });
    const rows = left.end - left.first;
    if (rows < SPLIT_ROWS_MIN || rows * rowBytes < 2 * bytesMin) return null;
    const middle = left.first + Math.ceil(rows / 2);
    const { ordinal: _, ...rest } = range;
    const moved = left.end - middle;
    const bytes = Math.round(moved * rowBytes);
    return {
      giver: {
        ...range,
        split: { ...split, end: [String(middle)] },
        estimatedRows: Math.max(0, range.estimatedRows - moved),
        estimatedBytes: Math.max(0, range.estimatedBytes - bytes),
      },
      taker: {
        ...rest,
        split: { ...split, start: [String(middle)] },
        estimatedRows: moved,
        estimatedBytes: bytes,
      },
    };
  }

  startRead(
    task: ReadTask,
    sink: ReadSink,
    options: { readonly checkpointEveryMs: number },
  ): PartitionRead {
    const columns = task.stream.columns as GeneratorConfig["columns"];
    const config = { ...this.#config, columns };
    this.#read = startGeneratedRead(config, task, sink, options);
    return this.#read;
  }

  async close(): Promise<void> {
    this.#usable = false;
  }

  destroy(): void {
    this.#usable = false;
    this.#read?.cancel(
      new ExtractError("SOURCE_CONNECTION_LOST", "the generator was ended"),
    );
  }
}

function bytesOfRow({ schema }: DiscoveredStream): number {
  return schema.columns.reduce(
    (sum, { type }) => sum + (fixedWidthBytes[type.kind] || WORD_BYTES),
    0,
  );
}

export const generatorDriver: SourceDriver = {
  joins: "any-time",
  connect: async (url) => new GeneratorSession(parseGeneratorUrl(url)),
  canSplit: (_, { split }) => split.kind === "key",
  narrow() {
    throw new ExtractError(
      "TRIGGER_INVALID",
      "rows that are made up cannot be narrowed",
    );
  },
  async holdSnapshot(url) {
    parseGeneratorUrl(url);
    return holdNothing({ id: "generator", visible: url });
  },
};
