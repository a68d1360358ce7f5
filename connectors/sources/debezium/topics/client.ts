/**
 * The brokers, asked for messages from offsets that we name: without a group, whose offsets would be somebody else's word
 * and whose joining takes seconds. It is kafkajs' own client beneath its consumer.
 */
import { readFileSync } from "node:fs";
import kafkajs from "kafkajs";
// the parts below the consumer, of the exact version that the project pins
import Cluster from "kafkajs/src/cluster/index.js";
import Batch from "kafkajs/src/consumer/batch.js";
import createSocketFactory from "kafkajs/src/network/socketFactory.js";
import { ExtractError } from "../../../../proto/error.ts";
import { matchesPattern } from "../../../../proto/pattern.ts";
import { kafkaCodecs } from "../../../../transport/kafka/codecs.ts";
import "../../../../transport/kafka/negative-timeouts.ts";
import { nameOf, type Offsets } from "./state.ts";
import type { TopicsConfig } from "./url.ts";

Object.assign(kafkajs.CompressionCodecs, kafkaCodecs);

const CONNECT_MS_MAX = 10_000;
const REQUEST_MS_MAX = 30_000;
const CLOSE_MS_MAX = 2_000;
const METADATA_MS_MAX = 300_000;
const retry = { retries: 3, initialRetryTime: 200, maxRetryTime: 2_000 };
/** Aborted transactions of producers are not told of. */
const READ_COMMITTED = 1;
/** What one answer holds, unless one message is larger. */
const FETCH_BYTES_MAX = 8 * 1024 * 1024;
const FETCH_MS_MAX = 500;

export interface TopicMessage {
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, Buffer | string | undefined>>;
}

export interface PartitionRef {
  readonly topic: string;
  readonly partition: number;
}

export interface Fetched extends PartitionRef {
  readonly messages: readonly TopicMessage[];
  /** Of the message to be fetched next. */
  readonly next: bigint;
  /** All before it can be told of. */
  readonly stable: bigint;
}

/** What of kafkajs is used here; it has no types for these. */
interface BrokerClient {
  fetch(request: object): Promise<{
    readonly responses: readonly {
      readonly topicName: string;
      readonly partitions: readonly {
        readonly partition: number;
        readonly lastStableOffset?: string;
        readonly highWatermark: string;
      }[];
    }[];
  }>;
}

interface ClusterClient {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  refreshMetadata(): Promise<void>;
  metadata(request: { topics: string[] }): Promise<{
    readonly clusterId?: string | null;
    readonly topicMetadata: readonly {
      readonly topic: string;
      readonly isInternal?: boolean;
      readonly partitionMetadata: readonly {
        readonly partitionId: number;
        readonly leader: number;
      }[];
    }[];
  }>;
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>;
  findTopicPartitionMetadata(
    topic: string,
  ): readonly { readonly partitionId: number; readonly leader: number }[];
  findBroker(request: { nodeId: string }): Promise<BrokerClient>;
  fetchTopicsOffset(
    topics: readonly {
      readonly topic: string;
      readonly partitions: readonly { readonly partition: number }[];
      readonly fromBeginning: boolean;
    }[],
  ): Promise<
    readonly {
      readonly topic: string;
      readonly partitions: readonly {
        readonly partition: number;
        readonly offset: string;
      }[];
    }[]
  >;
}

interface BatchOfMessages {
  readonly messages: readonly TopicMessage[];
  readonly rawMessages: readonly TopicMessage[];
  lastOffset(): string;
}

export class TopicsClient {
  readonly #config: TopicsConfig;
  readonly #cluster: ClusterClient;

  private constructor(config: TopicsConfig) {
    this.#config = config;
    const { brokers, sasl, user, password } = config;
    this.#cluster = new Cluster({
      logger: silent,
      socketFactory: createSocketFactory(),
      ...{ brokers, ssl: readAuthorities(config), retry },
      ...(sasl === null
        ? {}
        : { sasl: { mechanism: sasl, username: user, password } }),
      clientId: "millrace",
      connectionTimeout: CONNECT_MS_MAX,
      authenticationTimeout: CONNECT_MS_MAX,
      requestTimeout: REQUEST_MS_MAX,
      enforceRequestTimeout: true,
      metadataMaxAge: METADATA_MS_MAX,
      allowAutoTopicCreation: false,
      maxInFlightRequests: null,
      isolationLevel: READ_COMMITTED,
    }) as ClusterClient;
  }

  /** @throws ExtractError KAFKA_UNREACHABLE, KAFKA_REFUSED */
  static async connect(config: TopicsConfig): Promise<TopicsClient> {
    const client = new TopicsClient(config);
    try {
      await client.#cluster.connect();
      return client;
    } catch (error) {
      await client.close();
      throw toTopicError(error);
    }
  }

  /** What tells one set of brokers from another. */
  async readClusterId(): Promise<string> {
    const { clusterId } = await this.#ask(() =>
      this.#cluster.metadata({ topics: [] }),
    );
    return clusterId ?? "unnamed";
  }

  /**
   * The partitions of all topics that are meant.
   * @throws ExtractError KAFKA_TOPIC_NOT_FOUND for a name or pattern that no topic has
   */
  async listPartitions(): Promise<PartitionRef[]> {
    const patterns = this.#config.topics;
    const topics = await this.#ask(async () => {
      const { topicMetadata } = await this.#cluster.metadata({ topics: [] });
      return topicMetadata
        .map(({ topic }) => topic)
        .filter((topic) => patterns.some((one) => matchesPattern(one, topic)));
    });
    for (const pattern of patterns)
      if (!topics.some((topic) => matchesPattern(pattern, topic)))
        throw new ExtractError(
          "KAFKA_TOPIC_NOT_FOUND",
          `the brokers have no topic ${pattern}`,
          { topic: pattern },
        );
    await this.#ask(() => this.#cluster.addMultipleTargetTopics(topics));
    return topics.toSorted().flatMap((topic) =>
      this.#cluster
        .findTopicPartitionMetadata(topic)
        .map(({ partitionId }) => ({ topic, partition: partitionId }))
        .toSorted((a, b) => a.partition - b.partition),
    );
  }

  /** Of each partition: its oldest message, or the one behind the last that is told. */
  async readOffsets(
    partitions: readonly PartitionRef[],
    which: "oldest" | "end",
  ): Promise<Map<PartitionRef, bigint>> {
    if (partitions.length === 0) return new Map();
    const byTopic = Map.groupBy(partitions, ({ topic }) => topic);
    const found = await this.#ask(() =>
      this.#cluster.fetchTopicsOffset(
        [...byTopic].map(([topic, list]) => ({
          topic,
          partitions: list.map(({ partition }) => ({ partition })),
          fromBeginning: which === "oldest",
        })),
      ),
    );
    return new Map(
      partitions.map((ref) => {
        const offset = found
          .find(({ topic }) => topic === ref.topic)
          ?.partitions.find(
            ({ partition }) => partition === ref.partition,
          )?.offset;
        if (offset === undefined)
          throw new ExtractError(
            "KAFKA_UNREACHABLE",
            `nobody leads partition ${ref.partition} of ${ref.topic}`,
            { ...ref },
          );
        return [ref, BigInt(offset)];
      }),
    );
  }

  /**
   * The brokers have all that stands behind these offsets.
   * @throws ExtractError SOURCE_POSITION_EXPIRED naming the first partition of which they have not
   */
  async checkOffsets(
    partitions: readonly PartitionRef[],
    offsets: Offsets,
  ): Promise<void> {
    const known = partitions.filter(
      ({ topic, partition }) => offsets[nameOf(topic, partition)] !== undefined,
    );
    const oldest = await this.readOffsets(known, "oldest");
    const ends = await this.readOffsets(known, "end");
    for (const ref of known) {
      const name = nameOf(ref.topic, ref.partition);
      const at = BigInt(offsets[name] ?? 0);
      const first = oldest.get(ref) ?? 0n;
      const end = ends.get(ref) ?? 0n;
      if (first > at)
        throw expired(
          `the brokers have removed the messages ${at} to ${first - 1n} of partition ${ref.partition} of ${ref.topic}, which were not copied yet`,
          ref,
        );
      if (end < at)
        throw expired(
          `partition ${ref.partition} of ${ref.topic} ends at ${end}, before what was copied of it (${at}): the topic was made again`,
          ref,
        );
    }
    const topics = new Set(partitions.map(({ topic }) => topic));
    const names = new Set(
      partitions.map(({ topic, partition }) => nameOf(topic, partition)),
    );
    const gone = Object.keys(offsets).find(
      (name) =>
        topics.has(name.slice(0, name.lastIndexOf("/"))) && !names.has(name),
    );
    if (gone !== undefined)
      throw new ExtractError(
        "SOURCE_POSITION_EXPIRED",
        `${gone} is there no more: the topic was made again with fewer partitions`,
        { partition: gone },
      );
  }

  /** Partitions by the broker that has them now. */
  groupByLeader(
    partitions: readonly PartitionRef[],
  ): Map<number, PartitionRef[]> {
    return Map.groupBy(
      partitions,
      ({ topic, partition }) =>
        this.#cluster
          .findTopicPartitionMetadata(topic)
          .find(({ partitionId }) => partitionId === partition)?.leader ?? -1,
    );
  }

  /**
   * What one broker has of these partitions from their offsets on; no messages where none come for half a second.
   * @param partitionBytesMax of each, unless one message is larger
   * @throws ExtractError SOURCE_POSITION_EXPIRED, KAFKA_*
   */
  async fetch(
    leader: number,
    wanted: ReadonlyMap<PartitionRef, bigint>,
    partitionBytesMax: number,
  ): Promise<Fetched[]> {
    const refs = [...wanted.keys()];
    const { responses } = await this.#ask(async () => {
      const broker = await this.#cluster.findBroker({ nodeId: String(leader) });
      return broker.fetch({
        replicaId: -1,
        isolationLevel: READ_COMMITTED,
        maxWaitTime: FETCH_MS_MAX,
        minBytes: 1,
        maxBytes: FETCH_BYTES_MAX,
        rackId: "",
        topics: [...Map.groupBy(refs, ({ topic }) => topic)].map(
          ([topic, list]) => ({
            topic,
            partitions: list.map((ref) => ({
              partition: ref.partition,
              fetchOffset: String(wanted.get(ref)),
              maxBytes: partitionBytesMax,
            })),
          }),
        ),
      });
    });
    return responses.flatMap(({ topicName, partitions }) =>
      partitions.flatMap((data) => {
        const ref = refs.find(
          ({ topic, partition }) =>
            topic === topicName && partition === data.partition,
        );
        const from = ref && wanted.get(ref);
        if (ref === undefined || from === undefined) return [];
        const batch = new Batch(
          topicName,
          String(from),
          data,
        ) as BatchOfMessages;
        const behind =
          batch.rawMessages.length === 0
            ? from
            : BigInt(batch.lastOffset()) + 1n;
        return [
          {
            topic: topicName,
            partition: data.partition,
            messages: batch.messages,
            next: behind > from ? behind : from,
            stable: BigInt(data.lastStableOffset ?? data.highWatermark),
          },
        ];
      }),
    );
  }

  /** After a leader has changed. */
  async refresh(): Promise<void> {
    await this.#ask(() => this.#cluster.refreshMetadata());
  }

  /** Within two seconds: the library waits for what a broker still owes, and one that is silent owes it for long. */
  async close(): Promise<void> {
    const over = Promise.withResolvers<void>();
    const timer = setTimeout(over.resolve, CLOSE_MS_MAX);
    const closed = this.#cluster.disconnect().catch(() => {
      // it was not connected, or is not any more
    });
    await Promise.race([closed, over.promise]);
    clearTimeout(timer);
  }

  async #ask<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    try {
      return await work();
    } catch (error) {
      throw toTopicError(error);
    }
  }
}

function expired(message: string, ref: PartitionRef): ExtractError {
  return new ExtractError("SOURCE_POSITION_EXPIRED", message, { ...ref });
}

/** @throws ExtractError USAGE for a file that cannot be read */
function readAuthorities({
  ssl,
  caPath,
}: TopicsConfig): boolean | { readonly ca: readonly string[] } {
  if (!ssl || caPath === null) return ssl;
  try {
    return { ca: [readFileSync(caPath, "utf8")] };
  } catch (cause) {
    throw new ExtractError(
      "USAGE",
      `ca=${caPath} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      {},
      { cause },
    );
  }
}

/** What the library logs is told by the errors that it throws. */
const silent = {
  ...{ error: ignore, warn: ignore, info: ignore, debug: ignore },
  namespace: (): object => silent,
};
function ignore(): void {}

/** Leaders that have moved on: another try finds them. */
const moved =
  /NOT_LEADER|LEADER_NOT_AVAILABLE|UNKNOWN_LEADER_EPOCH|FENCED_LEADER_EPOCH|REPLICA_NOT_AVAILABLE|BROKER_NOT_AVAILABLE/;

export function hasMoved(error: unknown): boolean {
  return error instanceof ExtractError && error.details["hasMoved"] === true;
}

/** Any error of the library, under our codes. */
function toTopicError(error: unknown): ExtractError {
  if (error instanceof ExtractError) return error;
  const inner = unwrap(error);
  const type = inner.type ?? "";
  const words = inner.message || inner.name;
  const details = {
    ...(type === "" ? {} : { kafka: type }),
    ...(moved.test(type) ? { hasMoved: true } : {}),
  };
  const isRefused =
    inner.name === "KafkaJSSASLAuthenticationError" ||
    inner.name === "KafkaJSNotImplemented" ||
    /AUTHORIZATION_FAILED|SASL_|UNSUPPORTED/.test(type);
  const code =
    type === "OFFSET_OUT_OF_RANGE"
      ? "SOURCE_POSITION_EXPIRED"
      : isRefused
        ? "KAFKA_REFUSED"
        : type === "UNKNOWN_TOPIC_OR_PARTITION"
          ? "KAFKA_TOPIC_NOT_FOUND"
          : "KAFKA_UNREACHABLE";
  return new ExtractError(code, words, details, { cause: error });
}

/** The innermost cause; the library wraps what it has retried. */
function unwrap(error: unknown): Error & { type?: string } {
  const outer = error instanceof Error ? error : new Error(String(error));
  return outer.cause instanceof Error ? unwrap(outer.cause) : outer;
}
