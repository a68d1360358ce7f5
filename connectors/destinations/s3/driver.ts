/** S3 as the destination process uses it. */
import { isChangeStream } from "../change-rows.ts";
import { findFileColumn } from "../../airbyte/file-reference.ts";
import { CopyingWriter } from "../copying-writer.ts";
import { OrderedWriter } from "../ordered-writer.ts";
import type {
  DestinationContext,
  DestinationDriver,
  WriterFactory,
} from "../destination.ts";
import { S3Bucket } from "./bucket.ts";
import { S3Connection } from "./client.ts";
import type { S3DestinationConfig } from "./config.ts";
import { CopiedObjects } from "./copied-files.ts";
import { Lane } from "./lane.ts";
import { PartPool, WaitingBytes } from "./parts.ts";
import { S3Storage } from "./storage.ts";
import { S3PartitionWriter } from "./writer.ts";

/** Of all writers of a channel that part rows into folders: such objects are many, and small. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024;

/** Of all channels of this thread: small runs share one. */
const threadLane = new Lane();

function readConfig({ config }: DestinationContext): S3DestinationConfig {
  return config as S3DestinationConfig;
}

export const s3Driver: DestinationDriver = {
  async openStorage(context) {
    const config = readConfig(context);
    return new S3Storage(context, config, await S3Connection.open(config));
  },
  async openWriters(context): Promise<WriterFactory> {
    const config = readConfig(context);
    const { epoch, runId } = context.attempt;
    const connection = await S3Connection.open(config);
    const channel = {
      config,
      connection,
      pool: new PartPool(),
      waiting: new WaitingBytes(WAITING_BYTES_MAX),
      lane: threadLane,
    };
    return {
      createWriter({ stream, partition }) {
        const origin = { epoch, runId, partition, ...stream };
        const writer = new S3PartitionWriter(channel, origin);
        const column = findFileColumn(stream.schema);
        if (column !== null) {
          const bucket = new S3Bucket(config, connection);
          const store = new CopiedObjects(config, origin, bucket, channel.pool);
          return new CopyingWriter(stream.schema, column, writer, store);
        }
        return isChangeStream(stream.schema)
          ? new OrderedWriter(stream.schema, writer)
          : writer;
      },
      close: async () => connection.destroy(),
    };
  },
};
