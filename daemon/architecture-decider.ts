/**
 * How rows go from one connector to the next: over sockets or standard streams, and in which format. Pure: the first
 * rule that matches decides, and says why. A forced mode alone can end in an error; whatever else is missing leads to
 * JSON lines over standard streams, which every connector speaks.
 * @see Airbyte platform, ArchitectureDecider and `connectorIPCOptions` of a connector's metadata; README.md lists where
 *   and why the rules here differ
 */
import { ExtractError } from "../proto/error.ts";

export type ChannelMedium = "STDIO" | "SOCKET";
export type ChannelFormat = "COLUMNAR" | "PROTOBUF" | "JSONL";

/** The best first. Columns are Millrace's own; the other two are the protocol's. */
const FORMATS = ["COLUMNAR", "PROTOBUF", "JSONL"] as const;
/** What a connector lists is not ours: more is not looked at. */
const LIST_MAX = 32;
const SOCKETS_MAX = 1_024;

export interface ConnectorSide {
  /** For people. */
  readonly name: string;
  /** `connectorIPCOptions` as the connector's metadata has them; null or absent: it says nothing. Not trusted. */
  readonly ipc: unknown;
}

export interface ArchitectureQuestion {
  readonly source: ConnectorSide;
  readonly destination: ConnectorSide;
  /** Whole files are moved, not rows. */
  readonly isFileTransfer: boolean;
  /** What was copied is taken away, and nothing is read. */
  readonly isReset: boolean;
  /** Null: whatever is best. */
  readonly forced: ChannelMedium | null;
  /** Of the sockets; null: whatever is best. */
  readonly format: ChannelFormat | null;
}

export type ArchitectureRule =
  | "fileTransfer"
  | "reset"
  | "forcedStdio"
  | "forcedSocket"
  | "optionsAbsent"
  | "optionsUnreadable"
  | "noCommonVersion"
  | "noCommonTransport"
  | "noCommonFormat"
  | "best";

export interface Architecture {
  readonly medium: ChannelMedium;
  readonly format: ChannelFormat;
  /** Of the data channel, the newest that both speak; null over standard streams. */
  readonly version: string | null;
  readonly rule: ArchitectureRule;
  /** A sentence for people. */
  readonly reason: string;
  /** Something is not as its connector says it should be: worth a warning. */
  readonly isFallback: boolean;
}

/** What every connector of Millrace says of itself. Values of both generations of the protocol's encoding are read. */
export const ownIpc = {
  dataChannel: {
    version: "0.0.1 - 0.0.2",
    supportedSerialization: FORMATS,
    supportedTransport: ["SOCKET", "STDIO"],
  },
} as const;

/** @throws ExtractError USAGE for a forced medium or format that a side lacks */
export function decideArchitecture(
  question: ArchitectureQuestion,
): Architecture {
  const { source, destination, forced, format } = question;
  if (question.isFileTransfer)
    return overStdio("fileTransfer", "whole files are moved, not rows");
  if (question.isReset)
    return overStdio("reset", "a reset takes rows away and reads none");
  if (forced === "STDIO")
    return overStdio("forcedStdio", "standard streams were asked for");
  const found = findSocket(source, destination, format);
  const isAsked = forced === "SOCKET" || format !== null;
  if (found.rule !== "best") {
    if (isAsked) throw refuse(forced, format, found.reason);
    return overStdio(found.rule, found.reason, found.rule !== "optionsAbsent");
  }
  if (found.socket !== null) {
    const { socket } = found;
    return {
      ...{ medium: "SOCKET", ...socket, isFallback: false },
      rule: forced === "SOCKET" ? "forcedSocket" : "best",
      reason:
        format !== null || forced === "SOCKET"
          ? `${forced === "SOCKET" ? "sockets were" : `${format} was`} asked for, and both sides have ${socket.format}`
          : `the best that both sides have is ${socket.format} over sockets`,
    };
  }
  if (isAsked) throw refuse(forced, format, found.reason);
  return overStdio("best", found.reason);
}

/** Sockets between two connectors: as many as were asked for, else two for each CPU of the side that has fewer. */
export function countSockets({
  override,
  sourceCpus,
  destinationCpus,
}: {
  readonly override: number | null;
  readonly sourceCpus: number;
  readonly destinationCpus: number;
}): number {
  if (override !== null && override > 0) return Math.min(override, SOCKETS_MAX);
  const cpus = [sourceCpus, destinationCpus].map((count) =>
    count >= 1 ? Math.floor(count) : 1,
  );
  return Math.min(SOCKETS_MAX, 2 * Math.min(...cpus));
}

type Found =
  | {
      readonly rule: Exclude<
        ArchitectureRule,
        "fileTransfer" | "reset" | "forcedStdio" | "forcedSocket" | "best"
      >;
      readonly reason: string;
    }
  | {
      readonly rule: "best";
      /** Null: both have standard streams, and not both have sockets. */
      readonly socket: {
        readonly format: ChannelFormat;
        readonly version: string;
      } | null;
      readonly reason: string;
    };

function findSocket(
  source: ConnectorSide,
  destination: ConnectorSide,
  wanted: ChannelFormat | null,
): Found {
  const sides = [source, destination] as const;
  const read = sides.map(({ ipc }) => readOptions(ipc));
  for (const [at, { name }] of sides.entries())
    if (read[at] === null)
      return {
        rule: "optionsAbsent",
        reason: `${name} says nothing of data channels`,
      };
  for (const [at, { name }] of sides.entries()) {
    const fault = read[at];
    if (typeof fault === "string")
      return {
        rule: "optionsUnreadable",
        reason: `what ${name} says of data channels cannot be read: ${fault}`,
      };
  }
  const [from, to] = read as [ChannelOptions, ChannelOptions];
  const version = newestCommon(from.versions, to.versions);
  if (version === null)
    return {
      rule: "noCommonVersion",
      reason: `${source.name} speaks version ${from.version} of the data channel, ${destination.name} ${to.version}`,
    };
  const transports = from.transports.filter((one) =>
    to.transports.includes(one),
  );
  if (transports.length === 0)
    return {
      rule: "noCommonTransport",
      reason: `${source.name} has ${list(from.transports)}, ${destination.name} ${list(to.transports)}`,
    };
  if (!transports.includes("SOCKET")) {
    const without = sides.find(
      (_, at) => !(at === 0 ? from : to).transports.includes("SOCKET"),
    );
    return {
      ...{ rule: "best", socket: null },
      reason: `${without?.name} has no sockets`,
    };
  }
  const format = (wanted === null ? FORMATS : [wanted]).find(
    (one) => from.formats.includes(one) && to.formats.includes(one),
  );
  if (format === undefined)
    return {
      rule: "noCommonFormat",
      reason: `${source.name} has ${list(from.formats)}, ${destination.name} ${list(to.formats)}`,
    };
  return { rule: "best", socket: { format, version }, reason: "" };
}

function overStdio(
  rule: ArchitectureRule,
  reason: string,
  isFallback = false,
): Architecture {
  return {
    ...{ medium: "STDIO", format: "JSONL", version: null },
    ...{ rule, reason, isFallback },
  };
}

function refuse(
  forced: ChannelMedium | null,
  format: ChannelFormat | null,
  reason: string,
): ExtractError {
  const asked = [forced, format].filter((one) => one !== null).join(" ");
  return new ExtractError("USAGE", `${asked} cannot be had: ${reason}`, {
    forced: asked,
  });
}

function list(names: readonly string[]): string {
  return names.length === 0 ? "none that is known" : names.join(", ");
}

// What a connector says

type Version = readonly [number, number, number];

interface ChannelOptions {
  /** As it was said. */
  readonly version: string;
  /** The oldest and the newest. */
  readonly versions: readonly [Version, Version];
  readonly formats: readonly ChannelFormat[];
  readonly transports: readonly ChannelMedium[];
}

/** Null: nothing is said. A text: why it cannot be read. What is newer than this and not known is passed over. */
function readOptions(ipc: unknown): ChannelOptions | string | null {
  if (ipc === null || ipc === undefined) return null;
  if (!isObject(ipc)) return "they are no object";
  const { dataChannel } = ipc;
  if (dataChannel === null || dataChannel === undefined) return null;
  if (!isObject(dataChannel)) return "dataChannel is no object";
  const { version, supportedSerialization, supportedTransport } = dataChannel;
  const versions = readVersions(version);
  if (typeof version !== "string" || versions === null)
    return "version is none such as 0.0.2 or 0.0.1 - 0.0.2";
  const formats = readNames(supportedSerialization, FORMATS);
  if (formats === null) return "supportedSerialization is no list of names";
  const transports = readNames(supportedTransport, [
    "SOCKET",
    "STDIO",
  ] as const);
  if (transports === null) return "supportedTransport is no list of names";
  return { version, versions, formats, transports };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readNames<Name extends string>(
  value: unknown,
  known: readonly Name[],
): Name[] | null {
  if (!Array.isArray(value)) return null;
  const names: unknown[] = value.slice(0, LIST_MAX);
  if (names.some((name) => typeof name !== "string")) return null;
  return known.filter((name) => names.includes(name));
}

function readVersions(text: unknown): [Version, Version] | null {
  if (typeof text !== "string") return null;
  const one = String.raw`(\d{1,6})\.(\d{1,6})\.(\d{1,6})`;
  const found = new RegExp(`^${one}(?: - ${one})?$`).exec(text);
  if (!found) return null;
  const [, ...parts] = found.map(Number);
  const [a = 0, b = 0, c = 0, ...rest] = parts;
  const oldest: Version = [a, b, c];
  const [d = 0, e = 0, f = 0] = rest;
  const newest: Version = found[4] === undefined ? oldest : [d, e, f];
  return compareVersions(oldest, newest) > 0 ? null : [oldest, newest];
}

function compareVersions(a: Version, b: Version): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

function newestCommon(
  [oldestA, newestA]: readonly [Version, Version],
  [oldestB, newestB]: readonly [Version, Version],
): string | null {
  const oldest = compareVersions(oldestA, oldestB) > 0 ? oldestA : oldestB;
  const newest = compareVersions(newestA, newestB) < 0 ? newestA : newestB;
  return compareVersions(oldest, newest) > 0 ? null : newest.join(".");
}
