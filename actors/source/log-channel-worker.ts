/**
 * The channel of the log: its socket, the engine that reads the source's log, and the rows of all streams. It does as it
 * is told by the main thread and decides nothing.
 */
import { randomBytes } from "node:crypto";
import type { LogEngine, LogRows } from "../../connectors/channels/log-rows.ts";
import type { TableName } from "../../connectors/sources/debezium/engine/properties.ts";
import type { DiscoveredStream } from "../../connectors/sources/source.ts";
import { describeChanges } from "../../proto/change-columns.ts";
import type { SourceLogSettings } from "../../proto/control.ts";
import { toWireError } from "../../proto/error.ts";
import { given } from "../child.ts";
import { ChannelHost, type SourcePort } from "./channel-host.ts";
import type { SourceWorkerData, SourceWorkerOrder } from "./worker-messages.ts";

type StartOrder = Extract<SourceWorkerOrder, { type: "log.start" }>;

/** Tries at a partition are counted per epoch, and the log has one. */
const ATTEMPT = 1;
const PLACEHOLDER_BYTES = 12;

export class LogChannelWorker extends ChannelHost {
  readonly #streams = new Map<number, DiscoveredStream>();
  #log: LogRows | null = null;
  /** What was told before the log could be read. */
  readonly #early: ((log: LogRows) => void)[] = [];
  #tellStreams: () => void = () => {};
  /** Settles when the log is read no more. */
  #reading: Promise<void> | null = null;
  #kill: () => Promise<void> = async () => {};

  constructor(port: SourcePort, data: SourceWorkerData) {
    super(port, data);
    this.begin();
  }

  protected release(): Promise<void> {
    return this.#kill();
  }

  protected tellProgress(): void {
    this.#tellStreams();
  }

  async #read(order: StartOrder): Promise<void> {
    const log = given(this.data.log, "the log's settings");
    const [
      { LogRows: Rows },
      { LogDecoder },
      { describeChangeSettings },
      { openQuarantine },
    ] = await Promise.all([
      import("../../connectors/channels/log-rows.ts"),
      import("../../connectors/channels/log-decoder.ts"),
      import("../../connectors/channels/change-settings.ts"),
      import("../../connectors/channels/quarantine-file.ts"),
    ]);
    const unavailableValue = `__millrace_unavailable_${randomBytes(PLACEHOLDER_BYTES).toString("hex")}`;
    const streams = order.streams.map(
      ({ stream, partition, after, visible }) => {
        const known = given(
          this.#streams.get(stream) ?? null,
          `stream ${stream}`,
        );
        const { schema } = known;
        const ref = { stream, partition, attempt: ATTEMPT };
        return {
          number: stream,
          namespace: schema.namespace,
          name: schema.name,
          after,
          visible,
          rows: this.rows.begin({
            ...ref,
            schema: describeChanges(schema, log.transactionId),
            mapper: null,
            onCheckpoint: (place) =>
              this.tell({ type: "checkpoint.ready", ...place }),
            onNulled: () => {},
          }),
          ref,
          known,
          decoder: new LogDecoder(
            schema,
            describeChangeSettings(known, order.connector, {
              policy: this.data.policy,
              valueNulled: (column, reason) =>
                this.tell({ type: "value.nulled", ...ref, column, reason }),
              unavailableValue,
              transactionId: log.transactionId ?? false,
            }),
          ),
        };
      },
    );
    const { from, until, isHeld, entry } = order;
    const entering = new Set(entry?.streams);
    const tables = streams.filter(({ number }) => !entering.has(number));
    const isThere = !isHeld && until !== null && until <= from.position;
    const engine =
      isThere || tables.length === 0
        ? null
        : await this.#open(order, log, tables, unavailableValue);
    this.#kill = async () => engine?.kill();
    if (this.isDestroyed) return engine?.kill();
    this.#tellStreams = () => {
      for (const { rows, ref } of streams) {
        const progress = rows.takeProgress();
        if (progress) this.tell({ type: "read.progress", ...ref, ...progress });
      }
    };
    const quarantine =
      log.quarantine === undefined ? null : openQuarantine(log.quarantine);
    const reading = new Rows({
      engine,
      quarantine,
      streams,
      sourceEpoch: log.sourceEpoch,
      from,
      until,
      isHeld,
      entry,
      discoveredAt: order.discoveredAt,
      checkpointEveryMs: log.checkpointEveryMs,
      events: {
        onGroup: (group) => this.tell({ type: "log.checkpoint", ...group }),
        onEnding: (position, cutBy) =>
          this.tell({ type: "log.ending", position, cutBy }),
      },
    });
    this.#log = reading;
    for (const tell of this.#early) tell(reading);
    await reading.run().finally(() => quarantine?.close());
    this.#tellStreams();
    this.tell({ type: "log.closed" });
  }

  async #open(
    { connector, from, until }: StartOrder,
    log: SourceLogSettings,
    tables: readonly (TableName & { readonly known: DiscoveredStream })[],
    unavailableValue: string,
  ): Promise<LogEngine> {
    const { url } = this.data;
    if (connector === "connect") {
      const { openTopics } =
        await import("../../connectors/channels/open-topics.ts");
      return openTopics({
        url,
        streams: tables.map(({ known }) => known),
        offset: from.offset,
        isCatchUp: until !== null,
        checkpointEveryMs: log.checkpointEveryMs,
      });
    }
    const { openLog } = await import("../../connectors/channels/open-log.ts");
    const engine = await openLog({
      ...{ url, connector, log, from, tables, unavailableValue },
    });
    if (log.isLedgerBrief !== true) return engine;
    const { keepPlace } =
      await import("../../connectors/channels/kept-place.ts");
    return keepPlace(engine, from.offset);
  }

  protected async follow(order: SourceWorkerOrder): Promise<void> {
    switch (order.type) {
      case "channel.open":
        await this.open();
        return;
      case "stream.known":
        this.#streams.set(order.stream.schema.number, order.stream);
        return;
      case "log.start":
        this.#reading = this.#read(order).catch((error: unknown) =>
          this.tell({ type: "log.failed", error: toWireError(error) }),
        );
        return;
      case "checkpoint.index":
        this.#log?.giveIndex(order.stream, order.index);
        return;
      case "log.leave":
        this.#tellLog((log) => log.leave(order.stream));
        return;
      case "log.stop":
        this.#tellLog((log) => log.wish("stop"));
        return;
      case "log.cancel":
        this.#tellLog((log) => log.wish("cancel"));
        return;
      case "log.end":
        this.#log?.end(order.position);
        return;
      case "log.committed":
        this.#log?.commit(order.group);
        return;
      case "log.release":
        this.#tellLog((log) => log.release());
        return;
      case "log.pace":
        this.#tellLog((log) => log.pace(order.checkpointEveryMs));
        return;
      case "channel.end":
        await this.#reading;
        await this.end();
        return;
      case "snapshot.use":
        // nothing is read from a snapshot here
        this.tell({ type: "snapshot.joined", error: null });
        return;
      case "snapshot.leave":
      case "stream.logged":
      case "read.start":
      case "read.stop":
      case "read.cancel":
      case "read.discard":
        return;
    }
  }

  #tellLog(tell: (log: LogRows) => void): void {
    if (this.#log) tell(this.#log);
    else this.#early.push(tell);
  }
}
