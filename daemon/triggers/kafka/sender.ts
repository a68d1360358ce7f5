/** The producer of dead letters and results: connects when it has to, and sends in order, to all replicas. */
import kafkajs, { type Kafka, type Message, type Producer } from "kafkajs";
import { clientRetry, toKafkaError } from "./client.ts";

const ACKS_ALL = -1;

export class Sender {
  readonly #producer: Producer;
  #connecting: Promise<void> | null = null;

  constructor(kafka: Kafka) {
    this.#producer = kafka.producer({
      allowAutoTopicCreation: false,
      maxInFlightRequests: 1,
      // Java's, so that equal keys meet in one partition whoever sends them
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      retry: { ...clientRetry },
    });
    this.#producer.on("producer.disconnect", () => (this.#connecting = null));
  }

  /** Durable on all replicas in sync when it returns. @throws ExtractError KAFKA_* */
  async send(topic: string, messages: Message[]): Promise<void> {
    try {
      this.#connecting ??= this.#producer.connect();
      await this.#connecting;
      await this.#producer.send({ topic, messages, acks: ACKS_ALL });
    } catch (error) {
      this.#connecting = null;
      throw toKafkaError(error);
    }
  }

  async close(): Promise<void> {
    await this.#producer.disconnect().catch(() => {});
  }
}
