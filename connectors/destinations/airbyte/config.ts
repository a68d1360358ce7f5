/** What a destination that speaks the Airbyte protocol is given. */
import type { ConnectorProgram } from "../../airbyte/connector-process.ts";
import type { ChannelFormat } from "../../airbyte/message-bytes.ts";

/** How records leave us. */
export type RecordChannel =
  | {
      /** As lines, states among them. */
      readonly medium: "stdio";
      /**
       * There is a log beside the copy: channels take turns, so that in front of a state there is no row that it does
       * not cover.
       */
      readonly inTurns?: boolean;
    }
  | {
      /** We listen on each path, and the destination connects. */
      readonly medium: "sockets";
      readonly format: ChannelFormat;
      /** Of channel 1, 2, … Where there is one, other channels hand their bytes to the first. */
      readonly paths: readonly string[];
      /**
       * States are of all streams: what a channel has between two of its checkpoints is one partition, whichever streams
       * the rows are of, and its name begins so.
       */
      readonly partitionsOf?: string;
    };

/** How a connector of somebody else is started, and what it is told. */
export interface ForeignConnector {
  readonly program: ConnectorProgram;
  /** Its own configuration; secrets are in it. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** As it is called in logs and errors. */
  readonly label: string;
  /** The cursor's column, where the sync has one. */
  readonly cursor: string | null;
  readonly syncId: number;
}

export interface AirbyteDestinationConfig {
  readonly kind: "airbyte";
  readonly channel: RecordChannel;
  /** Null: our own stdout, or sockets that somebody else's platform has named. Whoever reads them keeps the states. */
  readonly connector: ForeignConnector | null;
  /** A private folder of this attempt, for sockets; empty: nothing is written, the connector is only tried. */
  readonly folder: string;
  /** The destination may take nothing for so long while there is something to take. */
  readonly stallMs: number;
  /** All sockets are connected within this time. */
  readonly connectMs: number;
  /** A state comes back, and the destination ends, within this time of the last row. */
  readonly stateMs: number;
}

export const airbyteDestinationDefaults = {
  stallMs: 15 * 60_000,
  connectMs: 60_000,
  stateMs: 30 * 60_000,
} as const;
