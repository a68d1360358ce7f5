/** What Kafka's messages are compressed with, by the numbers that its protocol has for it. */
import { promisify } from "node:util";
import { gunzip, gzip, zstdCompress, zstdDecompress } from "node:zlib";
import { uncompressLz4 } from "./lz4.ts";
import { uncompressSnappy } from "./snappy.ts";

/** What a compressed batch of messages may grow to; a broker's batch has 1 MiB by default. */
const BATCH_BYTES_MAX = 64 * 1024 * 1024;

export type KafkaCodec = () => {
  compress(encoder: { readonly buffer: Buffer }): Promise<Buffer>;
  decompress(bytes: Buffer): Promise<Buffer>;
};

const bounded = { maxOutputLength: BATCH_BYTES_MAX };
const codec =
  (
    shrink: (bytes: Buffer) => Promise<Buffer>,
    grow: (bytes: Buffer, options: typeof bounded) => Promise<Buffer>,
  ): KafkaCodec =>
  () => ({
    compress: ({ buffer }) => shrink(buffer),
    decompress: (bytes) => grow(bytes, bounded),
  });

/** Only read: what we send is not compressed. */
const reader =
  (grow: (bytes: Buffer, bytesMax: number) => Buffer): KafkaCodec =>
  () => ({
    compress: () => Promise.reject(new Error("nothing is sent compressed")),
    decompress: async (bytes) => grow(bytes, BATCH_BYTES_MAX),
  });

/** For `CompressionCodecs` of kafkajs, whose own gzip has no bound, and which has no other one. */
export const kafkaCodecs: Readonly<Record<number, KafkaCodec>> = {
  1: codec(promisify(gzip), promisify(gunzip)),
  2: reader(uncompressSnappy),
  3: reader(uncompressLz4),
  4: codec(promisify(zstdCompress), promisify(zstdDecompress)),
};
