/**
 * The system calls of `node:fs` below one folder, recorded, and on request cut off: from the chosen call on nothing
 * reaches the disk any more, as when the process was killed there.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { basename, join } from "node:path";

/** Calls that change what is on the disk, or make it durable. */
const SYNC_PATH_CALLS = [
  "mkdirSync",
  "openSync",
  "linkSync",
  "unlinkSync",
  "renameSync",
  "rmdirSync",
] as const;
const SYNC_FD_CALLS = ["writevSync", "fdatasyncSync"] as const;
const ASYNC_FD_CALLS = ["fdatasync", "fsync"] as const;

class Killed extends Error {
  constructor() {
    super("the process was killed here");
  }
}

export interface Trace {
  /** `linkSync a.tmp -> a`, by base names, in order. Asynchronous calls stand where they ended. */
  readonly calls: string[];
  restore(): void;
}

type AnyFunction = (...args: unknown[]) => unknown;
type Callback = (error: Error | null) => void;

/**
 * @param callsMax calls that still take place; all later ones below the root fail
 * @param fail gives the error for a call, or null: for faults that are not the end
 */
export function traceFs(
  root: string,
  callsMax = Infinity,
  fail: (call: string) => Error | null = () => null,
): Trace {
  const calls: string[] = [];
  const names = new Map<number, string>();
  const table = fs as unknown as Record<string, AnyFunction>;
  const originals = new Map<string, AnyFunction>();
  const patch = (
    name: string,
    make: (original: AnyFunction) => AnyFunction,
  ) => {
    const original = table[name];
    if (!original) throw new Error(`node:fs has no ${name}`);
    originals.set(name, original);
    table[name] = make(original);
  };
  const check = (call: string): void => {
    if (calls.length >= callsMax) throw new Killed();
    const error = fail(call);
    if (error) throw error;
    calls.push(call);
  };
  for (const name of SYNC_PATH_CALLS) {
    patch(name, (original) => (...args) => {
      const paths = args.filter((arg) => typeof arg === "string");
      if (!paths[0]?.startsWith(root)) return original(...args);
      // a file that is only read changes nothing
      const isRead = name === "openSync" && args[1] === "r";
      const both = name === "linkSync" || name === "renameSync";
      const shown = paths.slice(0, both ? 2 : 1).map((path) => basename(path));
      if (!isRead) check(`${name} ${shown.join(" -> ")}`);
      const result = original(...args);
      if (name === "openSync" && !isRead)
        names.set(result as number, shown[0] ?? "");
      return result;
    });
  }
  patch("open", (original) => (...args) => {
    const [path] = args;
    const done = args.at(-1) as (error: Error | null, fd?: number) => void;
    if (typeof path !== "string" || !path.startsWith(root))
      return original(...args);
    return original(
      ...args.slice(0, -1),
      (error: Error | null, fd?: number) => {
        if (fd !== undefined) names.set(fd, basename(path));
        done(error, fd);
      },
    );
  });
  for (const name of SYNC_FD_CALLS) {
    patch(name, (original) => (...args) => {
      const file = names.get(args[0] as number);
      if (file !== undefined) check(`${name} ${file}`);
      return original(...args);
    });
  }
  for (const name of ASYNC_FD_CALLS) {
    patch(name, (original) => (...args) => {
      const file = names.get(args[0] as number);
      if (file === undefined) return original(...args);
      const done = args[1] as Callback;
      return original(args[0], (error: Error | null) => {
        try {
          check(`${name} ${file}`);
          done(error);
        } catch (killed) {
          done(killed as Error);
        }
      });
    });
  }
  patch("closeSync", (original) => (...args) => {
    names.delete(args[0] as number);
    return original(...args);
  });
  syncBuiltinESMExports();
  return {
    calls,
    restore: () => {
      for (const [name, original] of originals) table[name] = original;
      syncBuiltinESMExports();
    },
  };
}

/** What is killed, in a folder of its own, and what has to hold afterwards, killed or not. */
export interface KilledWork {
  work(): Promise<unknown>;
  after(): Promise<void>;
}

/**
 * Kills the work at its first system call, at its second one, and so on, until it comes to its end.
 * @param begin prepares the folder; nothing is cut off there
 * @returns how often it was killed
 */
export async function killAtEachCall(
  root: string,
  begin: (place: string) => Promise<KilledWork>,
): Promise<number> {
  for (let killed = 0; ; killed += 1) {
    const place = join(root, String(killed));
    fs.mkdirSync(place);
    const { work, after } = await begin(place);
    const trace = traceFs(place, killed);
    let isKilled = false;
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      isKilled = true;
    } finally {
      trace.restore();
    }
    await after();
    if (!isKilled) return killed;
  }
}
