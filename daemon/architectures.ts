/** How the rows of a run go from its source to its destination, as its request wants it. */
import {
  nameConnector,
  toAirbyteUrl,
} from "../connectors/sources/airbyte/url.ts";
import {
  copiesFiles,
  readSettings,
} from "../connectors/sources/airbyte/config.ts";
import { readScheme } from "../connectors/sources/url.ts";
import type { AirbyteDestinationRequest } from "./airbyte/destination-request.ts";
import {
  decideArchitecture,
  ownIpc,
  type Architecture,
  type ConnectorSide,
} from "./architecture-decider.ts";
import { ExtractError } from "../proto/error.ts";
import type { DestinationRequest } from "./destinations.ts";

/** One step of the rows' way, and how it is made. */
export interface DecidedHop extends Architecture {
  readonly between: string;
}

/** What is said of a connector of somebody else. */
interface ForeignSettings {
  readonly architecture?: "stdio" | "socket" | undefined;
  readonly format?: "jsonl" | "protobuf" | undefined;
  readonly ipc?: unknown;
  /** Whole files go with its records. */
  readonly files?: boolean | undefined;
}

type Hosted = Pick<DestinationRequest, "kind"> &
  Partial<
    Pick<AirbyteDestinationRequest, "architecture" | "channel" | "connector">
  >;

/** With a connector of somebody else ours speak the protocol's formats. */
const protocolIpc = {
  dataChannel: {
    ...ownIpc.dataChannel,
    supportedSerialization: ["PROTOBUF", "JSONL"],
  },
} as const;

/** Whoever asks for sockets, and says no more, says that the connector has them as they are now. */
const presumedIpc = {
  dataChannel: { ...protocolIpc.dataChannel, version: "0.0.2" },
} as const;

const forced = { stdio: "STDIO", socket: "SOCKET" } as const;
const formats = { jsonl: "JSONL", protobuf: "PROTOBUF" } as const;

/**
 * Between a connector of somebody else, which stands at this end, and ours.
 * @throws ExtractError USAGE for what was asked for and cannot be had
 */
export function decideForeign(
  end: "source" | "destination",
  name: string,
  { architecture, format, ipc, files = false }: ForeignSettings,
): Architecture {
  const isPresumed = ipc === undefined && architecture === "socket";
  const foreign = { name, ipc: isPresumed ? presumedIpc : ipc };
  const ours = { name: "millrace", ipc: protocolIpc };
  const sides: Record<"source" | "destination", ConnectorSide> =
    end === "source"
      ? { source: foreign, destination: ours }
      : { source: ours, destination: foreign };
  return decideArchitecture({
    ...sides,
    ...{ isFileTransfer: files, isReset: false },
    forced: architecture === undefined ? null : forced[architecture],
    // it is that of sockets, and says nothing where there are none
    format:
      format === undefined || foreign.ipc === undefined
        ? null
        : formats[format],
  });
}

/**
 * The URL that a source's process is given: of a connector of somebody else, with what was decided.
 * @throws ExtractError USAGE
 */
export function resolveSourceUrl(url: string): string {
  if (readScheme(url) !== "airbyte") return url;
  const settings = readSettings(url);
  // who has started us has decided
  if (settings.input) return url;
  const name = nameConnector(settings);
  const { medium, format } = decideForeign("source", name, settings);
  return toAirbyteUrl({
    ...settings,
    architecture: medium === "SOCKET" ? "socket" : "stdio",
    format: format === "JSONL" ? "jsonl" : "protobuf",
  });
}

/**
 * In the order in which rows pass them.
 * @throws ExtractError USAGE for what was asked for and cannot be had
 */
export function listArchitectures({
  source,
  destination,
}: {
  readonly source: { readonly url: string };
  /** Null: none is named yet, and any of ours is meant. */
  readonly destination: Hosted | null;
}): DecidedHop[] {
  const scheme = readScheme(source.url) ?? "the source";
  const to = destination?.kind ?? "a destination";
  if (scheme === "airbyte") checkFileTransfer(source.url, destination);
  const own = decideArchitecture({
    ...{ source: { name: scheme, ipc: ownIpc } },
    ...{ destination: { name: to, ipc: ownIpc } },
    ...{ isFileTransfer: false, isReset: false, forced: null, format: null },
  });
  return [
    ...listForeignSource(source.url, scheme),
    { between: `${scheme} → ${to}`, ...own },
    ...listForeignDestination(destination, to),
  ];
}

/** Destinations that copy files which go with records. */
const fileKinds: ReadonlySet<string> = new Set(["file", "s3"]);

/** @throws ExtractError USAGE where files are to be copied, and would not be */
function checkFileTransfer(url: string, destination: Hosted | null): void {
  const settings = readSettings(url);
  if (!copiesFiles(settings)) return;
  if (settings.input?.kind === "sockets")
    throw new ExtractError(
      "USAGE",
      "a stream has `include_files`, and files go with records over standard streams alone: run both connectors with DATA_CHANNEL_MEDIUM=STDIO",
    );
  if (destination === null || fileKinds.has(destination.kind)) return;
  const { kind, channel, connector = null } = destination;
  // a connector of somebody else copies them itself
  if (kind === "airbyte" && connector !== null && channel?.medium === "stdio")
    return;
  throw new ExtractError(
    "USAGE",
    kind === "airbyte"
      ? "`files` of a source go to another connector over standard streams alone: leave out its `architecture: socket`"
      : `${kind} does not copy files: leave out the source's \`files\`, or \`include_files\` of the catalog`,
    { destination: kind },
  );
}

function listForeignSource(url: string, scheme: string): DecidedHop[] {
  if (scheme !== "airbyte") return [];
  const settings = readSettings(url);
  const name = nameConnector(settings);
  const between = `${name} → airbyte`;
  if (settings.input === undefined)
    return [{ between, ...decideForeign("source", name, settings) }];
  const { input } = settings;
  return [
    {
      between,
      ...given(input.kind === "sockets" ? input.format : null),
    },
  ];
}

function listForeignDestination(
  destination: Hosted | null,
  to: string,
): DecidedHop[] {
  const channel = destination?.channel;
  if (to !== "airbyte" || !channel) return [];
  const decided = destination.architecture;
  if (decided) return [{ between: "airbyte → its connector", ...decided }];
  const format = channel.medium === "sockets" ? channel.format : null;
  return [{ between: "airbyte → the platform", ...given(format) }];
}

/** @param format over sockets; null: over standard streams */
function given(format: string | null): Architecture {
  return {
    medium: format === null ? "STDIO" : "SOCKET",
    format: (format?.toUpperCase() ?? "JSONL") as Architecture["format"],
    version: null,
    rule: format === null ? "forcedStdio" : "forcedSocket",
    reason: "whoever has started this process has decided so",
    isFallback: false,
  };
}

/** For people, in one line. */
export function describeHop({ between, medium, format, reason }: DecidedHop) {
  return `${between}: ${medium} ${format}, ${reason}`;
}
