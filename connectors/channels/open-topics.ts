/** The topics of a run's streams, as the engine that their log is read from. */
import { ExtractError } from "../../proto/error.ts";
import { TopicsLog } from "../sources/debezium/topics/topics-log.ts";
import { parseTopicsUrl } from "../sources/debezium/topics/url.ts";
import type { DiscoveredStream } from "../sources/source.ts";

export interface OpenTopicsOptions {
  readonly url: string;
  readonly streams: readonly DiscoveredStream[];
  readonly offset: string | null;
  readonly isCatchUp: boolean;
  readonly checkpointEveryMs: number;
}

/** @throws ExtractError USAGE */
export function openTopics({
  url,
  streams,
  ...options
}: OpenTopicsOptions): TopicsLog {
  return new TopicsLog({
    ...options,
    config: parseTopicsUrl(url),
    topics: streams.map(({ schema, changes }) => {
      if (!changes?.topic)
        throw new ExtractError(
          "SOURCE_LOG_UNSUITABLE",
          `${schema.namespace}.${schema.name} is of no topic`,
          {},
        );
      const { name, discoveredAt } = changes.topic;
      return {
        topic: name,
        namespace: schema.namespace,
        table: schema.name,
        discoveredAt,
      };
    }),
  });
}
