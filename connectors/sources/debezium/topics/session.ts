/**
 * The tables that topics tell of: what a sync copies of them, and how their messages are to be read. There are no rows
 * beside the messages: what was there when the connector began is in the topics as well.
 */
import { ExtractError } from "../../../../proto/error.ts";
import type { StreamSchema } from "../../../../proto/schema.ts";
import { chooseColumns, fingerprintColumns, nameKey } from "../../columns.ts";
import { selectRelations } from "../../selection.ts";
import type {
  DiscoveredStream,
  Discovery,
  PartitionRead,
  SourceDriver,
  SourceSession,
  StreamPlan,
  StreamSelection,
} from "../../source.ts";
import { TopicsClient } from "./client.ts";
import { readColumns } from "./connect-schema.ts";
import { sampleTopics, type TopicSample } from "./samples.ts";
import type { TopicsConfig } from "./url.ts";

/** Given, so that a source knows nothing of the others. */
export type LoadSource = (url: string) => Promise<SourceDriver>;

export class TopicsSession implements SourceSession {
  readonly serverVersion = 0;
  readonly #config: TopicsConfig;
  readonly #client: TopicsClient;
  readonly #load: LoadSource;
  #usable = true;

  private constructor(
    config: TopicsConfig,
    client: TopicsClient,
    load: LoadSource,
  ) {
    this.#config = config;
    this.#client = client;
    this.#load = load;
  }

  /** @throws ExtractError KAFKA_UNREACHABLE, KAFKA_REFUSED */
  static async open(
    config: TopicsConfig,
    load: LoadSource,
  ): Promise<TopicsSession> {
    return new TopicsSession(config, await TopicsClient.connect(config), load);
  }

  get usable(): boolean {
    return this.#usable;
  }

  async beginSnapshot(): Promise<void> {
    // messages do not change
  }

  /** @throws ExtractError SOURCE_LOG_UNSUITABLE, SOURCE_TABLE_NOT_FOUND, KAFKA_* */
  async discover(selection: StreamSelection): Promise<Discovery> {
    const { samples, silent } = await sampleTopics(this.#client);
    const warnings = silent.map(
      (topic) =>
        `${topic} has no change of a row to learn its table from: it is left out until it has one`,
    );
    const byTable = Map.groupBy(
      samples,
      ({ namespace, table }) => `${namespace}.${table}`,
    );
    const tables = [...byTable.values()].flatMap(([first, ...others]) => {
      if (first === undefined) return [];
      for (const other of others)
        throw unsuitable(
          `${first.topic} and ${other.topic} both tell of ${first.namespace}.${first.table}: two connectors' topics cannot be put in order`,
        );
      return [first];
    });
    const { relations, warnings: unmatched } = selectRelations(
      tables.map((sample) => ({
        ...{ sample, schema: sample.namespace, name: sample.table },
        ...{ pathPosition: 1, parents: [], fromExtension: false },
      })),
      selection,
    );
    const beside = await this.#readTables(relations.map((one) => one.sample));
    const streams = relations.map(({ sample }, i) =>
      this.#describe(sample, i + 1, beside, selection),
    );
    return {
      serverVersion: 0,
      streams,
      problems: [],
      warnings: [...warnings, ...unmatched],
    };
  }

  /** From the database itself, where its URL stands beside the topics'. */
  async #readTables(
    samples: readonly TopicSample[],
  ): Promise<readonly DiscoveredStream[] | null> {
    const { tables: url } = this.#config;
    if (url === null || samples.length === 0) return null;
    const session = await (await this.#load(url)).connect(url);
    try {
      await session.beginSnapshot(null);
      const { streams } = await session.discover(
        {
          include: samples.map(
            ({ namespace, table }) => `${namespace}.${table}`,
          ),
          ...{ exclude: [], columns: null, isLogged: true },
        },
        "error",
      );
      return streams;
    } finally {
      await session.close();
    }
  }

  #describe(
    sample: TopicSample,
    number: number,
    beside: readonly DiscoveredStream[] | null,
    selection: StreamSelection,
  ): DiscoveredStream {
    const { namespace, table, topic, connector } = sample;
    const place = { schema: namespace, name: table };
    const known = beside?.find(
      ({ schema }) => schema.namespace === namespace && schema.name === table,
    );
    const all = known?.schema.columns ?? this.#readSample(sample);
    const columns = chooseColumns(place, all, selection);
    const key = known?.schema.key ?? sample.key;
    const schema: StreamSchema = {
      number,
      ...{ namespace, name: table, columns },
      ...nameKey(key.length === 0 ? null : key, columns),
      fingerprint: fingerprintColumns(columns),
    };
    const chosen = new Set(columns.map(({ name }) => name));
    return {
      schema,
      columns: columns.map(({ name }) => ({ name })),
      relationKind: "table",
      leaves: [],
      key: null,
      allColumnNames: all.map(({ name }) => name),
      changes: {
        beforeImage: "key",
        declaredTypes: known?.changes?.declaredTypes ?? {},
        topic: {
          name: topic,
          connector: known ? connector : "connect",
          timePrecision: this.#config.timePrecision,
          unavailableValue: this.#config.unavailableValue,
          leftOut: all
            .map(({ name }) => name)
            .filter((name) => !chosen.has(name)),
          discoveredAt: sample.ends,
        },
      },
    };
  }

  #readSample({ topic, schema }: TopicSample): StreamSchema["columns"] {
    if (schema !== null) return readColumns(schema);
    throw unsuitable(
      `the messages of ${topic} carry no schema (schemas.enable of the converter is off): name their database with tables=, e.g. tables=${encodeURIComponent("postgres://user@host/database")}`,
    );
  }

  async planStream(stream: DiscoveredStream): Promise<StreamPlan> {
    return {
      plan: {
        stream: stream.schema.number,
        rung: "log",
        reason: "All of it is in the topic.",
        partitions: [],
        estimatedRows: 0,
        estimatedBytes: 0,
      },
      window: null,
    };
  }

  async findSplit(): Promise<null> {
    return null;
  }

  startRead(): PartitionRead {
    throw new ExtractError(
      "USAGE",
      "topics have changes and no rows beside them: --mode cdc or continuous",
    );
  }

  async close(): Promise<void> {
    this.#usable = false;
    await this.#client.close();
  }

  destroy(): void {
    void this.close();
  }
}

function unsuitable(message: string): ExtractError {
  return new ExtractError("SOURCE_LOG_UNSUITABLE", message, {});
}
