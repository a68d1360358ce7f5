/** How machines, partitions and states are called. */

/** Names the machine's definition: both sides of a socket have a machine that is called `channel`. */
export function chartKey(process: string, machine: string): string {
  return machine === "channel" ? `${process}.channel` : machine;
}

/** A state value as XState prints it (`{"moving":"reading"}`) as a path: `moving.reading`; regions are parted by ` + `. */
export function statePath(text: string): string {
  if (!text.startsWith("{")) return text;
  try {
    return pathsOf(JSON.parse(text)).join(" + ");
  } catch {
    return text;
  }
}

/** @param value parsed JSON */
function pathsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => {
    const below = pathsOf(inner);
    return below.length === 0 ? [name] : below.map((path) => `${name}.${path}`);
  });
}

/** The partition that an actor is named after: `reader:1/0`, `writer:1/0#2`. */
export function partitionOf(
  name: string,
): { readonly stream: number; readonly partition: number } | null {
  const match = /^(?:reader|writer):(\d{1,9})\/(\d{1,9})(?:#.*)?$/.exec(name);
  return match
    ? { stream: Number(match[1]), partition: Number(match[2]) }
    : null;
}

/** The number behind the colon: `channel:3`, `streamRun:1`. */
export function numberOf(name: string): number | null {
  const match = /^[A-Za-z]+:(\d{1,9})$/.exec(name);
  return match ? Number(match[1]) : null;
}
