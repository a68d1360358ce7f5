/**
 * Topics as the log of a source: the changes of all partitions, put in the order of the source's log where they have come
 * at the same time, and in units that are made durable as a whole. What is asked of the brokers are offsets that the
 * ledger has; they are told nothing.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { ExtractError } from "../../../../proto/error.ts";
import { formatCommit } from "../../../../proto/log-position.ts";
import type { EngineMessage, EngineOffset } from "../engine/protocol.ts";
import { hasMoved, TopicsClient, type PartitionRef } from "./client.ts";
import { readHeaders } from "./headers.ts";
import {
  PartitionQueue,
  type Change,
  type TopicTable,
} from "./partition-queue.ts";
import {
  formatState,
  nameOf,
  parseState,
  type Offsets,
  type TopicsState,
} from "./state.ts";
import type { TopicsConfig } from "./url.ts";

/** What has been fetched and not been told, of all partitions. */
const QUEUED_BYTES_MAX = 64 * 1024 * 1024;
/** Of one partition, however many there are: a message of ordinary size has to fit. */
const PARTITION_BYTES_MIN = 256 * 1024;
const FETCH_BYTES_MAX = 1024 * 1024;
/** Changes of a unit, however long a checkpoint may wait. */
const UNIT_CHANGES_MAX = 50_000_000;
/** Changes that are handed on at a time. */
const MESSAGES_MAX = 512;
/** Where nothing new is there. */
const IDLE_MS = 1_000;
/** Brokers that take a connection and then say nothing. */
const OPEN_MS_MAX = 120_000;
/** Between two tries to reach brokers that are away, or partitions whose leader has changed. */
const RETRY_MS = 500;
/** Answers without messages before a partition is asked for alone. */
const EMPTY_ANSWERS_MAX = 3;

export interface FollowedTopic extends TopicTable {
  readonly topic: string;
  /** What is before was made before the table was discovered. */
  readonly discoveredAt: Offsets;
}

export interface TopicsLogOptions {
  readonly config: TopicsConfig;
  readonly topics: readonly FollowedTopic[];
  /** As the ledger has it. */
  readonly offset: string | null;
  /** Ends where the topics end when it begins. */
  readonly isCatchUp: boolean;
  readonly checkpointEveryMs: number;
}

export class TopicsLog {
  readonly #options: TopicsLogOptions;
  #state: TopicsState;
  #client: TopicsClient | null = null;
  #queues: readonly PartitionQueue[] = [];
  /** By partition, where it ended when its table was discovered. */
  readonly #discovered: ReadonlyMap<string, bigint>;
  #isStopping = false;
  #failure: Error | null = null;
  #acknowledged: EngineOffset | null = null;
  /** Something has come, was acknowledged, or went wrong. */
  #news = Promise.withResolvers<void>();
  /** There is room for more, or more is asked for. */
  #room = Promise.withResolvers<void>();
  readonly #gone = Promise.withResolvers<void>();
  #fetching: Promise<void> | null = null;

  constructor(options: TopicsLogOptions) {
    this.#options = options;
    this.#state = parseState(options.offset);
    this.#discovered = new Map(
      options.topics
        .flatMap(({ discoveredAt }) => Object.entries(discoveredAt))
        .map(([name, offset]) => [name, BigInt(offset)]),
    );
  }

  ack(offset: EngineOffset): void {
    this.#acknowledged = offset;
    this.#wake();
  }

  async drain(): Promise<void> {
    this.#isStopping = true;
    this.#wake();
    await this.#gone.promise;
  }

  async kill(): Promise<void> {
    this.#isStopping = true;
    this.#wake();
    await this.#client?.close();
  }

  /**
   * A stream has failed, and holds the ledger's offsets where they are: what the others are told from here on could not be
   * taken up again between the same offsets.
   */
  abandon(): void {
    this.#fail(
      new ExtractError(
        "LOG_TURNED",
        "a stream has failed: the others end with what is recorded of the topics",
        {},
      ),
    );
  }

  /** @throws ExtractError KAFKA_*, SOURCE_POSITION_EXPIRED, SOURCE_LOG_UNSUITABLE */
  async *messages(): AsyncGenerator<readonly EngineMessage[], void> {
    try {
      await answerWithin(OPEN_MS_MAX, () => this.#open());
      yield [{ type: "ready" }];
      const pending = this.#state.to;
      if (pending !== null) {
        this.#aim({ ...this.#state.at, ...pending });
        yield* this.#tellUnit(true);
      }
      this.#aim(await this.#readEnds());
      while (!this.#isStopping) {
        if (this.#hasMore()) {
          yield* this.#tellUnit(false);
          if (!this.#options.isCatchUp) this.#aim(await this.#readEnds());
        } else if (this.#options.isCatchUp) {
          yield [{ ...this.#heartbeat(), closes: "log" }];
          return;
        } else {
          const news = this.#news.promise;
          yield [this.#heartbeat()];
          if (this.#failure !== null) throw this.#failure;
          await Promise.race([sleep(IDLE_MS), news]);
          this.#aim(await this.#readEnds());
        }
      }
    } finally {
      this.#isStopping = true;
      this.#wake();
      await this.#fetching;
      await this.#client?.close();
      this.#gone.resolve();
    }
  }

  async #open(): Promise<void> {
    const { config, topics } = this.#options;
    const client = await TopicsClient.connect(config);
    this.#client = client;
    const byTopic = new Map(topics.map((one) => [one.topic, one]));
    const partitions = (await client.listPartitions()).filter(({ topic }) =>
      byTopic.has(topic),
    );
    const { at, reached } = this.#state;
    await client.checkOffsets(partitions, at);
    const oldest = await client.readOffsets(partitions, "oldest");
    this.#queues = partitions.map((ref) => {
      const table = byTopic.get(ref.topic);
      if (table === undefined) throw new Error(`nobody follows ${ref.topic}`);
      const name = nameOf(ref.topic, ref.partition);
      const from =
        at[name] === undefined ? (oldest.get(ref) ?? 0n) : BigInt(at[name]);
      return new PartitionQueue(ref, table, from, reached[name] ?? null);
    });
    this.#fetching = this.#fetchAll(client).catch((error: unknown) => {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    });
  }

  async #readEnds(): Promise<Offsets> {
    const client = this.#given();
    const refs = this.#queues.map(({ ref }) => ref);
    const ends = await this.#persist(client, () =>
      client.readOffsets(refs, "end"),
    );
    const target = Object.fromEntries(
      this.#queues.map(({ name, ref }) => [name, String(ends.get(ref) ?? 0n)]),
    );
    return target;
  }

  #aim(target: Offsets): void {
    for (const queue of this.#queues)
      queue.end = BigInt(target[queue.name] ?? 0);
    this.#makeRoom();
  }

  #hasMore(): boolean {
    return this.#queues.some((queue) => queue.consumed < queue.end);
  }

  /**
   * Until the target, or until a checkpoint is due. Where a unit ends is in the ledger before its checkpoints are made:
   * whoever takes it up again takes in exactly the same.
   */
  async *#tellUnit(
    isTakenUp: boolean,
  ): AsyncGenerator<readonly EngineMessage[], void> {
    const unit = this.#state.unit + 1;
    const { isCatchUp, checkpointEveryMs } = this.#options;
    const startedAt = performance.now();
    let messages: EngineMessage[] = [
      {
        type: "begin",
        transaction: null,
        position: formatCommit(BigInt(unit)),
        committedAtMs: this.#findCommitted(),
      },
    ];
    let order = 0;
    for (;;) {
      if (this.#isStopping) return;
      // what comes while it is looked is not missed
      const news = this.#news.promise;
      const next = this.#findNext();
      if (next === "end") break;
      if (next === "wait") {
        if (messages.length > 0) {
          yield messages;
          messages = [];
        }
        await news;
        continue;
      }
      order += 1;
      messages.push(this.#describe(next, next.take(), order));
      if (messages.length >= MESSAGES_MAX) {
        yield messages;
        messages = [];
        this.#makeRoom();
      }
      const isDue =
        performance.now() - startedAt >= checkpointEveryMs ||
        order >= UNIT_CHANGES_MAX;
      if (isDue && !isTakenUp) break;
    }
    const at = {
      ...this.#state.at,
      ...Object.fromEntries(
        this.#queues.map(({ name, consumed }) => [name, String(consumed)]),
      ),
    };
    if (!isTakenUp) {
      const intent = formatState({ ...this.#state, to: at });
      yield [...messages, { type: "intent", offset: intent }];
      messages = [];
      for (;;) {
        const news = this.#news.promise;
        if (this.#failure !== null) throw this.#failure;
        if (this.#acknowledged === intent) break;
        if (this.#isStopping) return;
        await news;
      }
    }
    this.#state = {
      unit,
      at,
      to: null,
      reached: {
        ...this.#state.reached,
        ...Object.fromEntries(
          this.#queues.flatMap(({ name, reached }) =>
            reached === null ? [] : [[name, reached] as const],
          ),
        ),
      },
    };
    const isLast = isCatchUp && !isTakenUp && !this.#hasMore();
    yield [
      ...messages,
      {
        type: "commit",
        number: order,
        events: order,
        offset: formatState(this.#state),
        closes: isLast ? "log" : "group",
      },
    ];
  }

  /** Of the partitions' next changes the one that was made first; all that have not ended have to be there for that. */
  #findNext(): PartitionQueue | "wait" | "end" {
    let first: PartitionQueue | null = null;
    let firstPlace = "";
    let isMissing = false;
    for (const queue of this.#queues) {
      const change = queue.peek(queue.end);
      if (change === null) {
        if (queue.consumed < queue.end) isMissing = true;
        continue;
      }
      if (first === null || change.place < firstPlace) {
        first = queue;
        firstPlace = change.place;
      }
    }
    if (this.#failure !== null) throw this.#failure;
    if (isMissing) {
      this.#makeRoom();
      return "wait";
    }
    return first ?? "end";
  }

  #describe(
    { name }: PartitionQueue,
    { message }: Change,
    order: number,
  ): EngineMessage {
    const discovered = this.#discovered.get(name) ?? 0n;
    return {
      type: "event",
      number: Number(message.offset),
      order,
      topic: name,
      key: message.key,
      value: message.value,
      headers: readHeaders(message),
      isOlder: BigInt(message.offset) < discovered,
    };
  }

  /** Up to when the source's changes were told before: the latest is no older than its partition's. */
  #findCommitted(): number {
    return this.#queues.reduce(
      (latest, { reached }) =>
        Math.max(latest, Math.floor((reached?.us ?? 0) / 1_000)),
      0,
    );
  }

  /** All that the topics have was told. */
  #heartbeat(): Extract<EngineMessage, { type: "heartbeat" }> {
    return { type: "heartbeat", offset: formatState(this.#state) };
  }

  async #fetchAll(client: TopicsClient): Promise<void> {
    const queueBytesMax = Math.max(
      PARTITION_BYTES_MIN,
      Math.floor(QUEUED_BYTES_MAX / Math.max(1, this.#queues.length)),
    );
    while (!this.#isStopping) {
      const room = this.#room.promise;
      const hungry = this.#queues.filter(
        (queue) => queue.bytes < queueBytesMax && queue.fetchNext < queue.end,
      );
      if (hungry.length === 0) {
        await room;
        continue;
      }
      const alone = hungry.find(
        ({ emptyAnswers }) => emptyAnswers >= EMPTY_ANSWERS_MAX,
      );
      try {
        await this.#persist(client, () =>
          this.#fetchSome(client, alone ? [alone] : hungry, queueBytesMax),
        );
      } catch (error) {
        throw await this.#explain(client, error);
      }
      this.#wake();
    }
  }

  /**
   * Brokers that die and come back are waited for, and partitions that get another leader.
   * @throws ExtractError KAFKA_UNREACHABLE once they have been away for too long
   */
  async #persist<Answer>(
    client: TopicsClient,
    work: () => Promise<Answer>,
  ): Promise<Answer> {
    const { awayMs } = this.#options.config;
    const until = performance.now() + awayMs;
    for (let isAgain = false; ; isAgain = true) {
      try {
        return await answerWithin(until - performance.now(), async () => {
          if (isAgain) await client.refresh();
          return work();
        });
      } catch (error) {
        if (this.#isStopping || !isWorthRetrying(error)) throw error;
        if (performance.now() >= until) throw describeAway(error, awayMs);
      }
      await sleep(RETRY_MS);
    }
  }

  async #fetchSome(
    client: TopicsClient,
    hungry: readonly PartitionQueue[],
    queueBytesMax: number,
  ): Promise<void> {
    const byRef = new Map<PartitionRef, PartitionQueue>(
      hungry.map((queue) => [queue.ref, queue]),
    );
    await Promise.all(
      [...client.groupByLeader([...byRef.keys()])].map(
        async ([leader, refs]) => {
          const wanted = new Map(
            refs.map((ref) => [ref, byRef.get(ref)?.fetchNext ?? 0n]),
          );
          const answers = await client.fetch(
            leader,
            wanted,
            Math.min(FETCH_BYTES_MAX, queueBytesMax),
          );
          for (const answer of answers) {
            const queue = hungry.find(
              ({ ref }) =>
                ref.topic === answer.topic &&
                ref.partition === answer.partition,
            );
            if (queue === undefined) continue;
            const isEmpty = answer.next === queue.fetchNext;
            queue.emptyAnswers = isEmpty ? queue.emptyAnswers + 1 : 0;
            // asked for alone, and all that is there could be told: it was removed, as compaction does
            const isHole =
              isEmpty && hungry.length === 1 && answer.stable >= queue.end;
            queue.push(
              answer.messages,
              isHole && queue.emptyAnswers > EMPTY_ANSWERS_MAX
                ? queue.end
                : answer.next,
            );
          }
        },
      ),
    );
  }

  /** Which partition no longer has what it is asked for. */
  async #explain(client: TopicsClient, error: unknown): Promise<unknown> {
    if (!(error instanceof ExtractError)) return error;
    if (error.code !== "SOURCE_POSITION_EXPIRED") return error;
    return client
      .checkOffsets(
        this.#queues.map(({ ref }) => ref),
        Object.fromEntries(
          this.#queues.map(({ name, fetchNext }) => [name, String(fetchNext)]),
        ),
      )
      .then(
        () => error,
        (named: unknown) => named,
      );
  }

  #given(): TopicsClient {
    if (this.#client === null) throw new Error("the brokers are not connected");
    return this.#client;
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }

  /** Whoever tells looks again. */
  #wake(): void {
    this.#news.resolve();
    this.#news = Promise.withResolvers<void>();
    if (this.#isStopping) this.#makeRoom();
  }

  /** Whoever fetches looks again. */
  #makeRoom(): void {
    this.#room.resolve();
    this.#room = Promise.withResolvers<void>();
  }
}

/** What is asked of a broker that does not even refuse is answered at the end of its time. */
async function answerWithin<Answer>(
  ms: number,
  work: () => Promise<Answer>,
): Promise<Answer> {
  const over = Promise.withResolvers<never>();
  const timer = setTimeout(
    () =>
      over.reject(
        new ExtractError("KAFKA_UNREACHABLE", "the brokers do not answer", {}),
      ),
    Math.max(0, ms),
  );
  try {
    return await Promise.race([work(), over.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function describeAway(error: unknown, awayMs: number): ExtractError {
  const words = error instanceof Error ? error.message : String(error);
  return new ExtractError(
    "KAFKA_UNREACHABLE",
    `the brokers have been away for ${awayMs / 1_000} s: ${words}`,
    error instanceof ExtractError ? error.details : {},
    { cause: error },
  );
}

function isWorthRetrying(error: unknown): boolean {
  return (
    hasMoved(error) ||
    (error instanceof ExtractError && error.code === "KAFKA_UNREACHABLE")
  );
}
