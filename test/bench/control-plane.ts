/**
 * How much of the CPU goes into deciding rather than moving: the share of V8's profile samples, over all processes and
 * workers of a sync, whose stack holds a machine, the actor library or the checkpoint code.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cluster } from "../../deploy/demo/cluster.ts";
import { millraceCommand } from "./contenders.ts";
import { measureCommand } from "./measure.ts";
import { writeResults } from "./report.ts";
import { ensureTables, sizes } from "./server.ts";

/** The goal that the design sets for the control plane. */
const SHARE_MAX = 0.02;

/** @see Chrome DevTools protocol, type Profiler.Profile */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
    };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Places in a stack, each counted once per sample however often it stands in it. */
const places = {
  xstate: /node_modules\/xstate\//,
  machines: /\/actors\/.*\.machine\.[jt]s$/,
  "other actors/": /\/actors\/(?!.*\.machine\.)/,
  checkpoint: /\/checkpoint\//,
} as const;
type Place = keyof typeof places;
/** The processes' mains and workers stand at the bottom of the data plane's stacks too. */
const deciding: readonly Place[] = ["xstate", "machines", "checkpoint"];

const notWorking = new Set(["(idle)", "(program)", "(root)"]);

interface Shares {
  /** Microseconds, without idle ones. */
  busyUs: number;
  decidingUs: number;
  readonly placeUs: Record<Place, number>;
}

export function addProfile(shares: Shares, profile: CpuProfile): void {
  const parents = new Map<number, number>();
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  for (const { id, children = [] } of profile.nodes)
    for (const child of children) parents.set(child, id);
  const placesOf = new Map<number, ReadonlySet<Place>>();
  const findPlaces = (id: number): ReadonlySet<Place> => {
    const known = placesOf.get(id);
    if (known !== undefined) return known;
    const parent = parents.get(id);
    const found = new Set(parent === undefined ? [] : findPlaces(parent));
    const url = byId.get(id)?.callFrame.url ?? "";
    for (const place of Object.keys(places) as Place[])
      if (places[place].test(url)) found.add(place);
    placesOf.set(id, found);
    return found;
  };
  profile.samples.forEach((id, i) => {
    const name = byId.get(id)?.callFrame.functionName ?? "";
    if (notWorking.has(name)) return;
    const microseconds = Math.max(0, profile.timeDeltas[i] ?? 0);
    const found = findPlaces(id);
    shares.busyUs += microseconds;
    for (const place of found) shares.placeUs[place] += microseconds;
    if (deciding.some((place) => found.has(place)))
      shares.decidingUs += microseconds;
  });
}

export function createShares(): Shares {
  return {
    busyUs: 0,
    decidingUs: 0,
    placeUs: { xstate: 0, machines: 0, "other actors/": 0, checkpoint: 0 },
  };
}

export async function measureControlPlane(
  server: Cluster,
  quick: boolean,
): Promise<boolean> {
  const url = await ensureTables(server.url, quick ? sizes.quick : sizes.full);
  const folder = mkdtempSync(join(tmpdir(), "millrace-profile-"));
  try {
    const profiles = join(folder, "profiles");
    const result = await measureCommand({
      command: millraceCommand(
        ...["sync", url, join(folder, "out"), "--table", "lineitem"],
      ),
      env: {
        NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profiles}`,
        // a bundle would not say which folder a function comes from
        MILLRACE_SOURCES: "1",
      },
      cwd: folder,
      serverPids: [server.pid],
      outputFolder: null,
    });
    if (result.exitCode !== 0) {
      console.log(`the sync failed: ${result.output}`);
      return false;
    }
    const shares = createShares();
    const names = readdirSync(profiles);
    for (const name of names) {
      const text = readFileSync(join(profiles, name), "utf8");
      addProfile(shares, JSON.parse(text) as CpuProfile);
    }
    const percent = (us: number) =>
      `${((us / shares.busyUs) * 100).toFixed(2)} %`;
    console.log(
      `${names.length} profiles, ${(shares.busyUs / 1e6).toFixed(2)} s busy in JavaScript`,
    );
    for (const [place, us] of Object.entries(shares.placeUs))
      console.log(`  stack holds ${place.padEnd(14)} ${percent(us)}`);
    console.log(
      `control plane (${deciding.join(", ")}): ${percent(shares.decidingUs)} (goal: at most ${SHARE_MAX * 100} %)`,
    );
    console.log(`every figure: ${writeResults("control-plane", shares)}`);
    return names.length > 0 && shares.decidingUs <= SHARE_MAX * shares.busyUs;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
