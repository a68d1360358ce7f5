/** Reads V8's CPU profiles of a bundle: where its functions come from, and whose work each sample was. */
import { existsSync, readFileSync } from "node:fs";
import { SourceMap, type SourceMapPayload } from "node:module";
import { fileURLToPath } from "node:url";

interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  /** From 0; where the function begins. */
  readonly lineNumber: number;
  readonly columnNumber: number;
}

/** @see Chrome DevTools protocol, type Profiler.Profile */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: CallFrame;
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
}

/** @returns the URL of the file that was written by hand, or the frame's own */
export type Locate = (frame: CallFrame) => string;

/** Follows the source maps beside the files of a bundle. */
export function createLocator(): Locate {
  const maps = new Map<string, SourceMap | null>();
  const load = (url: string): SourceMap | null => {
    if (!url.startsWith("file:")) return null;
    const path = `${fileURLToPath(url)}.map`;
    if (!existsSync(path)) return null;
    const text = readFileSync(path, "utf8");
    return new SourceMap(JSON.parse(text) as SourceMapPayload);
  };
  return ({ url, lineNumber, columnNumber }) => {
    let map = maps.get(url);
    if (map === undefined) maps.set(url, (map = load(url)));
    const entry = map?.findEntry(lineNumber, columnNumber);
    return entry && "originalSource" in entry
      ? new URL(entry.originalSource, url).href
      : url;
  };
}

/** A stack that holds one of these is the control plane's: what decides, and whatever is done before that returns. */
const planes = {
  xstate: /\/node_modules\/xstate\//,
  "actors/": /^(?!.*\/(node_modules|test)\/).*\/actors\//,
  "checkpoint/": /^(?!.*\/(node_modules|test)\/).*\/checkpoint\//,
} as const;

const LOADING = "loading modules";

/** Whose work a frame is. Frames of nobody (files, sockets, SQLite) belong to the one that called them. */
export type Owners = readonly (readonly [string, RegExp])[];
const owners: Owners = [
  [LOADING, /^node:(internal\/(modules|source_map)|module)/],
  [
    "starting processes and threads",
    /^node:(internal\/)?(child_process|worker|worker_threads)$/,
  ],
  ["xstate", planes.xstate],
  ["other libraries", /\/node_modules\//],
  ["machines", /\/actors\/.*\.machine\.ts$/],
  ["inspection", /\/actors\/inspect(ion-lines)?\.ts$/],
  ["mains and workers", /\/actors\/.*\.ts$/],
  ["ledger", /\/checkpoint\/store\//],
  ["checkpoints", /\/checkpoint\//],
  ["connectors", /\/(connectors|partitioning)\//],
  ["transport and protocol", /\/(transport|proto)\//],
  ["bookkeeper", /\/daemon\//],
];

const notWorking = new Set(["(idle)", "(program)", "(root)"]);

/** Counts of samples. */
export interface Shares {
  /** Without idle ones. */
  busy: number;
  /** Of these, with the control plane in their stack. */
  control: number;
  /** The control plane's, each under all that its stack holds. */
  readonly byPlane: Record<string, number>;
  /** The control plane's, each under the one whose work it was. */
  readonly byOwner: Record<string, number>;
  /** The busy ones, likewise. */
  readonly busyByOwner: Record<string, number>;
}

export function createShares(): Shares {
  return { busy: 0, control: 0, byPlane: {}, byOwner: {}, busyByOwner: {} };
}

interface Place {
  readonly planes: readonly string[];
  readonly owner: string;
}

const outside: Place = { planes: [], owner: "the runtime" };

/** A module's own body: it runs when it is loaded, in whatever folder it is. */
function isBody({ functionName, lineNumber, columnNumber }: CallFrame) {
  return functionName === "" && lineNumber === 0 && columnNumber === 0;
}

function findPlace(
  frame: CallFrame,
  url: string,
  below: Place,
  named: Owners,
): Place {
  if (isBody(frame) && url !== "") return { ...below, owner: LOADING };
  const found = Object.entries(planes).flatMap(([name, pattern]) =>
    pattern.test(url) && !below.planes.includes(name) ? [name] : [],
  );
  const owner = named.find(([, pattern]) => pattern.test(url))?.[0];
  return {
    planes: [...below.planes, ...found],
    owner: owner ?? below.owner,
  };
}

/**
 * Samples are counted, not their durations: a thread that waits for a core gets one sample when it has it again, and its
 * duration would be the wait.
 */
export function addProfile(
  shares: Shares,
  { nodes, samples }: CpuProfile,
  locate: Locate,
  named: Owners = owners,
): void {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(
    nodes.flatMap(({ id, children = [] }) =>
      children.map((child) => [child, id] as const),
    ),
  );
  const places = new Map<number, Place>();
  const placeOf = (id: number): Place => {
    let place = places.get(id);
    if (place !== undefined) return place;
    const parent = parents.get(id);
    const below = parent === undefined ? outside : placeOf(parent);
    const frame = byId.get(id)?.callFrame;
    place = frame ? findPlace(frame, locate(frame), below, named) : below;
    places.set(id, place);
    return place;
  };
  for (const id of samples) {
    if (notWorking.has(byId.get(id)?.callFrame.functionName ?? "")) continue;
    const { planes: held, owner } = placeOf(id);
    shares.busy += 1;
    add(shares.busyByOwner, owner);
    if (held.length === 0) continue;
    shares.control += 1;
    add(shares.byOwner, owner);
    for (const plane of held) add(shares.byPlane, plane);
  }
}

function add(sums: Record<string, number>, key: string): void {
  sums[key] = (sums[key] ?? 0) + 1;
}
