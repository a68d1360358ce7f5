/** The topics of an existing Kafka Connect, as a source: what is read of them is a log and nothing else. */
import type { LogOpened, LogOpenOrder } from "../../../../proto/control.ts";
import { ExtractError } from "../../../../proto/error.ts";
import {
  formatCommit,
  positionBehind,
  positionOfSnapshot,
} from "../../../../proto/log-position.ts";
import { holdNothing } from "../../hold-nothing.ts";
import type { HeldSnapshot, SourceDriver } from "../../source.ts";
import { TopicsClient } from "./client.ts";
import { TopicsSession, type LoadSource } from "./session.ts";
import { emptyState, formatState, parseState } from "./state.ts";
import { parseTopicsUrl, type TopicsConfig } from "./url.ts";

/** Beyond every unit: a catch-up ends where its topics ended when it began, which is counted in offsets. */
const NOWHERE = "f".repeat(20);

/** @param load finds the driver of the database that the topics come from */
export function createTopicsDriver(load: LoadSource): SourceDriver {
  return {
    joins: "any-time",
    connect: async (url) => TopicsSession.open(parseTopicsUrl(url), load),
    canSplit: () => false,
    narrow: (_, ranges) => {
      if (ranges.length === 0) return null;
      throw new ExtractError(
        "TRIGGER_INVALID",
        "topics are read whole: a run of them takes no ranges",
      );
    },
    holdSnapshot: async (url, _, log) => {
      const config = parseTopicsUrl(url);
      if (!log)
        throw new ExtractError(
          "USAGE",
          "topics have changes and no rows beside them: --mode cdc or continuous",
        );
      return holdTopics(config, log, load);
    },
  };
}

async function holdTopics(
  config: TopicsConfig,
  order: LogOpenOrder,
  load: LoadSource,
): Promise<HeldSnapshot> {
  const session = await TopicsSession.open(config, load);
  try {
    const { streams } = await session.discover({
      include: order.include,
      exclude: order.exclude,
      columns: null,
    });
    const identity = await checkOffsets(config, order);
    const at = positionOfSnapshot(order.sourceEpoch, formatCommit(0n));
    const opened: LogOpened = {
      identity,
      connector: "connect",
      position: order.known?.position ?? at,
      offset: order.known ? null : formatState(emptyState),
      history: [],
      visible: null,
      consistentFrom: null,
      takenAt: String(BigInt(Date.now()) * 1_000n),
      now: positionBehind(order.sourceEpoch, NOWHERE),
      before: at,
      tables: streams.map(({ schema: { namespace, name } }) => ({
        namespace,
        name,
      })),
    };
    return { ...holdNothing({ id: "topics", visible: "" }), log: opened };
  } finally {
    await session.close();
  }
}

/** What the ledger's offsets name is there still: nothing is passed over. @throws ExtractError SOURCE_POSITION_EXPIRED */
async function checkOffsets(
  config: TopicsConfig,
  { known }: LogOpenOrder,
): Promise<string> {
  const { at } = parseState(known?.offset ?? null);
  const client = await TopicsClient.connect(config);
  try {
    const partitions = await client.listPartitions();
    const identity = await client.readClusterId();
    if (known !== null && known.identity !== identity)
      throw new ExtractError(
        "SOURCE_POSITION_EXPIRED",
        `these are other brokers than the topics were read from (${identity} instead of ${known.identity})`,
        {},
      );
    await client.checkOffsets(partitions, at);
    return identity;
  } finally {
    await client.close();
  }
}
