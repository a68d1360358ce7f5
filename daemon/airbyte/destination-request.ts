/** A destination that speaks the Airbyte protocol, as a sync asks for it: a connector of somebody else, or our own output. */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import {
  airbyteDestinationDefaults,
  type AirbyteDestinationConfig,
} from "../../connectors/destinations/airbyte/config.ts";
import type { AirbyteDestinationSettings } from "../../connectors/destinations/airbyte/config-schema.ts";
import { decideForeign } from "../architectures.ts";
import type { Architecture } from "../architecture-decider.ts";
import type { SyncRequest } from "../request.ts";
import type { ConnectorProgram } from "../../connectors/airbyte/connector-process.ts";
import type { ChannelFormat } from "../../connectors/airbyte/message-bytes.ts";

/** A connector that is run here. */
export interface ForeignConnectorRequest {
  readonly program: ConnectorProgram;
  /** Its own configuration, as it wants it; secrets are in it. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Names the place that it writes to. Null: made from the above, without what looks like a secret. */
  readonly name: string | null;
}

export interface AirbyteDestinationRequest {
  readonly kind: "airbyte";
  /** Null: whoever reads our output. */
  readonly connector: ForeignConnectorRequest | null;
  readonly channel:
    | { readonly medium: "stdio"; readonly inTurns?: boolean }
    | {
        readonly medium: "sockets";
        readonly format: ChannelFormat;
        /** Null: so many in the run's own folder. */
        readonly paths: readonly string[] | null;
        readonly count: number;
        /** As in the destination's configuration. */
        readonly partitionsOf?: string;
      };
  /** Why the channel is what it is; absent: the platform behind us has decided. */
  readonly architecture?: Architecture;
  readonly deadlines: Partial<
    Pick<AirbyteDestinationConfig, "stallMs" | "connectMs" | "stateMs">
  >;
}

const secretName = /pass|secret|token|key|credential|private|auth/i;

/** `airbyte:destination-duckdb#1f2e3d4c`: the same place has the same name, whatever its passwords are. */
export function nameAirbyteDestination({
  connector,
}: AirbyteDestinationRequest): string {
  if (connector === null) return "airbyte:stdout";
  const { program, config, name } = connector;
  const { command, image } = program;
  if (name !== null) return `airbyte:${name}`;
  const place = createHash("sha256")
    .update(JSON.stringify([command, image, withoutSecrets(config)]))
    .digest("hex")
    .slice(0, 8);
  return `airbyte:${labelOf(connector)}#${place}`;
}

function withoutSecrets(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (name, inner: unknown) =>
      typeof inner !== "object" && secretName.test(name) ? undefined : inner,
    ),
  );
}

/** As the ledger keeps it: a configuration by its hash. */
export function coverConfig(
  request: AirbyteDestinationRequest,
): AirbyteDestinationRequest {
  if (request.connector === null) return request;
  const { connector } = request;
  const hash = createHash("sha256")
    .update(JSON.stringify([connector.config, connector.program.env]))
    .digest("hex");
  return {
    ...request,
    connector: {
      ...connector,
      config: { sha256: hash },
      program: { ...connector.program, env: {} },
    },
  };
}

/** For people. */
function labelOf({ program }: ForeignConnectorRequest): string {
  return program.image ?? basename(program.command?.at(-1) ?? "connector");
}

type Replacing = Pick<SyncRequest, "destination" | "mode">;

/**
 * Whether a run that was cut begins anew. A connector of somebody else that replaces what it has may have taken rows and
 * given their states back, and thrown them away when it was started again: only a run that wrote all rows is whole.
 */
export function replacesAll({ destination, mode }: Replacing): boolean {
  return isForeign(destination) && mode === "full-refresh-overwrite";
}

/** The same, of a run that the ledger knows: in other modes streams are replaced that come for the first time. */
export function startsOver(
  request: Replacing,
  ledger: Pick<Ledger, "streamsOf" | "durableOf">,
  runId: string,
): boolean {
  if (!isForeign(request.destination)) return false;
  const hasReplaced = ledger
    .streamsOf(runId)
    .some(
      ({ mode, state, number }) =>
        mode === "full-refresh-overwrite" &&
        state !== "committed" &&
        state !== "committing" &&
        ledger.durableOf(runId, number).length > 0,
    );
  return hasReplaced || replacesAll(request);
}

function isForeign(destination: SyncRequest["destination"]): boolean {
  return destination.kind === "airbyte" && destination.connector !== null;
}

/** Channels that records of tables leave by. @param isLogged a log has one more, which may have to share */
export function countChannels(
  { channel }: AirbyteDestinationRequest,
  isLogged: boolean,
): number {
  if (channel.medium === "stdio") return 1;
  const outputs = channel.paths?.length ?? channel.count;
  return Math.max(1, isLogged ? outputs - 1 : outputs);
}

/** What the destination process is given. @param folder private, of one attempt */
export function configOfAirbyte(
  request: AirbyteDestinationRequest,
  {
    folder,
    cursor,
    syncId,
    isLogged,
  }: {
    readonly folder: string;
    readonly cursor: string | null;
    readonly syncId: number;
    /** A log is followed beside the tables. */
    readonly isLogged: boolean;
  },
): AirbyteDestinationConfig {
  const { connector, channel, deadlines } = request;
  return {
    ...airbyteDestinationDefaults,
    ...deadlines,
    kind: "airbyte",
    folder,
    channel:
      channel.medium === "stdio"
        ? { inTurns: isLogged, ...channel }
        : {
            ...channel,
            paths:
              channel.paths ??
              Array.from({ length: channel.count }, (_, i) =>
                join(folder, `airbyte_socket_${i + 1}.sock`),
              ),
          },
    connector: connector && {
      program: connector.program,
      settings: connector.config,
      label: labelOf(connector),
      cursor,
      syncId,
    },
  };
}

const SOCKETS_DEFAULT = 2;
const SECOND_MS = 1000;

/** From a YAML file or a URL. */
export function buildAirbyteDestination(
  settings: AirbyteDestinationSettings,
): AirbyteDestinationRequest {
  const { command, image, runtime, runtimeArguments, env } = settings;
  const { connectDeadline, stallDeadline, stateDeadline } = settings;
  const connector = {
    program: { command, image, runtime, runtimeArguments, env },
    config: settings.config ?? {},
    name: settings.name ?? null,
  };
  const architecture = decideForeign(
    "destination",
    labelOf(connector),
    settings,
  );
  const deadlines = {
    connectMs: connectDeadline,
    stallMs: stallDeadline,
    stateMs: stateDeadline,
  };
  return {
    kind: "airbyte",
    connector,
    architecture,
    channel:
      architecture.medium === "SOCKET"
        ? {
            medium: "sockets",
            format: architecture.format === "JSONL" ? "jsonl" : "protobuf",
            paths: null,
            count: settings.sockets ?? SOCKETS_DEFAULT,
          }
        : { medium: "stdio" },
    deadlines: Object.fromEntries(
      Object.entries(deadlines).flatMap(([name, deadline]) =>
        deadline === undefined ? [] : [[name, deadline * SECOND_MS]],
      ),
    ),
  };
}
