/**
 * One life of the consumer: from joining the group until it leaves or is lost. The library's own restarts are off, so
 * that whoever looks at the daemon sees whether it consumes.
 */
import type {
  Admin,
  Consumer,
  ConsumerGroupJoinEvent,
  EachBatchPayload,
  Kafka,
} from "kafkajs";
import { ExtractError } from "../../../proto/error.ts";
import type { KafkaTriggerConfig } from "../config.ts";
import { clientRetry, toKafkaError } from "./client.ts";
import { checkGroup } from "./group.ts";

export const SESSION_MS_DEFAULT = 30_000;
const HEARTBEATS_PER_SESSION = 10;
const REBALANCE_MS_MAX = 60_000;
/** An idle fetch; a stop waits for it. */
const FETCH_MS_MAX = 500;
const FETCH_BYTES_MAX = 4 * 1024 * 1024;
const FETCH_PARTITION_BYTES_MAX = 1024 * 1024;
const NO_OFFSET = "-1";
/** Between two times that messages are forgotten which the brokers have no more. */
const FORGET_EVERY_MS = 3_600_000;

export interface ConnectionOptions {
  readonly config: KafkaTriggerConfig;
  readonly ledgerId: string;
  readonly sessionMs: number;
  handle(payload: EachBatchPayload): Promise<void>;
  /** After it was opened, once at most. */
  lost(error: ExtractError): void;
  foreign(error: ExtractError): void;
  /** The oldest message that the brokers still have of a partition: none before it comes again. */
  oldest(partition: number, offset: string): Promise<void>;
  /** Partitions that this member reads now. */
  assigned(partitions: readonly number[]): void;
}

type GroupJoin = ConsumerGroupJoinEvent["payload"];

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #admin: Admin;
  readonly #consumer: Consumer;
  #isClosed = false;
  #forgetting: NodeJS.Timeout | null = null;
  #memberId: string | null = null;
  /** Settles for each generation of the group before a message of it is looked at. */
  #admission: Promise<boolean> = Promise.resolve(false);

  private constructor(kafka: Kafka, options: ConnectionOptions) {
    this.#options = options;
    const { config, sessionMs } = options;
    this.#admin = kafka.admin();
    this.#consumer = kafka.consumer({
      groupId: config.group,
      sessionTimeout: sessionMs,
      heartbeatInterval: Math.ceil(sessionMs / HEARTBEATS_PER_SESSION),
      rebalanceTimeout: REBALANCE_MS_MAX,
      maxWaitTimeInMs: FETCH_MS_MAX,
      maxBytes: FETCH_BYTES_MAX,
      maxBytesPerPartition: FETCH_PARTITION_BYTES_MAX,
      allowAutoTopicCreation: false,
      retry: { ...clientRetry, restartOnFailure: async () => false },
    });
  }

  /**
   * Resolves when this member has its partitions and may read them.
   * @throws ExtractError KAFKA_UNREACHABLE, KAFKA_REFUSED, KAFKA_TOPIC_NOT_FOUND, KAFKA_GROUP_FOREIGN
   */
  static async open(
    kafka: Kafka,
    options: ConnectionOptions,
    signal: AbortSignal,
  ): Promise<Connection> {
    const connection = new Connection(kafka, options);
    try {
      await connection.#open(signal);
      return connection;
    } catch (error) {
      await connection.close();
      throw toKafkaError(error);
    }
  }

  async #open(signal: AbortSignal): Promise<void> {
    const { config, ledgerId } = this.#options;
    await this.#admin.connect();
    signal.throwIfAborted();
    await this.#checkTopics();
    await checkGroup(this.#admin, config.group, ledgerId);
    signal.throwIfAborted();
    const joined = Promise.withResolvers<void>();
    // a crash before the first admission is an attempt that failed; later, a connection that is lost
    let isOpen = false;
    const fail = (error: unknown): void => {
      if (this.#isClosed) return;
      if (isOpen) this.#options.lost(toKafkaError(error));
      else joined.reject(error);
    };
    this.#consumer.on("consumer.crash", ({ payload }) => fail(payload.error));
    this.#consumer.on("consumer.group_join", ({ payload }) => {
      this.#admission = this.#admit(payload).then(
        (admitted) => {
          if (admitted) joined.resolve();
          return admitted;
        },
        (error: unknown) => {
          const known = toKafkaError(error);
          if (isOpen && known.code === "KAFKA_GROUP_FOREIGN")
            this.#options.foreign(known);
          else fail(known);
          return false;
        },
      );
    });
    await this.#consumer.connect();
    // with an offset that the broker has no more, everything that is left is read: what is known is not run again
    await this.#consumer.subscribe({ topics: [config.topic], fromBeginning: true }); // prettier-ignore
    signal.throwIfAborted();
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async (payload) => {
        if (await this.#admission) await this.#options.handle(payload);
      },
    });
    await joined.promise;
    signal.throwIfAborted();
    isOpen = true;
    void this.#tellOldest();
    this.#forgetting = setInterval(
      () => void this.#tellOldest(),
      FORGET_EVERY_MS,
    ).unref();
  }

  /** Whoever misses it is told the next time. */
  async #tellOldest(): Promise<void> {
    try {
      const { topic } = this.#options.config;
      for (const { partition, low } of await this.#admin.fetchTopicOffsets(
        topic,
      ))
        if (!this.#isClosed) await this.#options.oldest(partition, low);
    } catch {
      // brokers that are away are told by the consumer
    }
  }

  /** A list of names, so that asking makes no topic. */
  async #checkTopics(): Promise<void> {
    const { topic, deadLetterTopic, resultTopic } = this.#options.config;
    const known = new Set(await this.#admin.listTopics());
    const wanted = [topic, deadLetterTopic, ...(resultTopic ? [resultTopic] : [])]; // prettier-ignore
    const missing = wanted.filter((name) => !known.has(name));
    if (missing.length === 0) return;
    throw new ExtractError(
      "KAFKA_TOPIC_NOT_FOUND",
      `there is no topic ${missing.join(", ")}, or it may not be seen`,
    );
  }

  /**
   * Whether messages of this generation may be recorded. A member that has just come checks for others with another
   * ledger; one that stays is what those others find.
   */
  async #admit({ memberId, memberAssignment }: GroupJoin): Promise<boolean> {
    const { config, ledgerId } = this.#options;
    const isNew = memberId !== this.#memberId;
    const partitions = memberAssignment[config.topic] ?? [];
    if (isNew) await checkGroup(this.#admin, config.group, ledgerId);
    if (this.#isClosed) return false;
    if (config.from === "end") await this.#beginAtEnd(partitions);
    this.#memberId = memberId;
    this.#options.assigned(partitions);
    return true;
  }

  /**
   * A group that has read nothing yet begins at the end, and says so at once: were the end looked up again after a
   * crash, what came meanwhile would be passed over. Partitions that are added later are read from their beginning.
   */
  async #beginAtEnd(partitions: readonly number[]): Promise<void> {
    const { topic, group } = this.#options.config;
    const [committed] = await this.#admin.fetchOffsets({
      groupId: group,
      topics: [topic],
    });
    const isFresh = (committed?.partitions ?? []).every(
      ({ offset }) => offset === NO_OFFSET,
    );
    if (!isFresh) return;
    const ends = (await this.#admin.fetchTopicOffsets(topic)).map(
      ({ partition, high }) => ({ topic, partition, offset: high }),
    );
    await this.#consumer.commitOffsets(ends);
    for (const end of ends)
      if (partitions.includes(end.partition)) this.#consumer.seek(end);
  }

  /** Fetches nothing more, and stays in the group. */
  pause(): void {
    this.#consumer.pause([{ topic: this.#options.config.topic }]);
  }

  resume(): void {
    if (!this.#isClosed)
      this.#consumer.resume([{ topic: this.#options.config.topic }]);
  }

  /** Commits what is recorded and leaves the group. May be called again. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#forgetting) clearInterval(this.#forgetting);
    await this.#consumer.disconnect().catch(() => {});
    await this.#admin.disconnect().catch(() => {});
  }
}
