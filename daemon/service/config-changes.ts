/** What a new configuration changes, in words. Secrets are compared and never shown. */
import { isDeepStrictEqual } from "node:util";
import { describeSchedule } from "../config-daemon.ts";
import type { MillraceConfig } from "../config.ts";

/** What takes effect at the next start only. */
const FIXED = ["listen", "tokens", "kafka", "inline.threads"] as const;

export function describeChanges(
  before: MillraceConfig,
  after: MillraceConfig,
): string[] {
  return [
    ...describeSyncs(before, after),
    ...describeDaemon(before, after),
    ...(before.ledgerPath === after.ledgerPath
      ? []
      : ["ledger: another one takes effect at the next start"]),
  ];
}

function describeSyncs(
  before: MillraceConfig,
  after: MillraceConfig,
): string[] {
  const names = new Set([...before.syncs.keys(), ...after.syncs.keys()]);
  return [...names].flatMap((name) => {
    const [old, now] = [before.syncs.get(name), after.syncs.get(name)];
    if (!old) return [`sync ${name}: added${describeDue(after, name)}`];
    if (!now) return [`sync ${name}: removed`];
    const keys = [...new Set([...Object.keys(old), ...Object.keys(now)])];
    const changed = keys.filter(
      (key) =>
        !isDeepStrictEqual(
          old[key as keyof typeof old],
          now[key as keyof typeof now],
        ),
    );
    const words =
      changed.length === 0
        ? []
        : [`sync ${name}: changed ${changed.sort().join(", ")}`];
    return [...words, ...describeScheduleChange(before, after, name)];
  });
}

function describeDue(config: MillraceConfig, name: string): string {
  const schedule = config.schedules.get(name);
  return schedule ? `, due at ${describeSchedule(schedule)}` : "";
}

function describeScheduleChange(
  before: MillraceConfig,
  after: MillraceConfig,
  name: string,
): string[] {
  const [old, now] = [before.schedules.get(name), after.schedules.get(name)];
  if (isDeepStrictEqual(old, now)) return [];
  const words = [old, now].map((one) => (one ? describeSchedule(one) : "none"));
  return [`sync ${name}: schedule ${words.join(" -> ")}`];
}

function describeDaemon(
  before: MillraceConfig,
  after: MillraceConfig,
): string[] {
  const { inline: oldInline = null, ...oldRest } = before.daemon ?? {};
  const { inline: nowInline = null, ...nowRest } = after.daemon ?? {};
  // all that it says is gone or new with it
  const isSwitched = (oldInline === null) !== (nowInline === null);
  const read = (rest: object, inline: object | null) =>
    flatten({
      ...rest,
      inline: isSwitched ? (inline === null ? "off" : "on") : (inline ?? {}),
    });
  const old = read(oldRest, oldInline);
  const now = read(nowRest, nowInline);
  const keys = [...new Set([...old.keys(), ...now.keys()])].sort();
  return keys.flatMap((key) => {
    if (isDeepStrictEqual(old.get(key), now.get(key))) return [];
    const isFixed = FIXED.some(
      (one) => key === one || key.startsWith(`${one}.`),
    );
    if (isFixed)
      return [`daemon.${key}: changed, takes effect at the next start`];
    return [`daemon.${key}: ${show(old.get(key))} -> ${show(now.get(key))}`];
  });
}

/** Of plain objects, so that what changed is named as far down as it can be; lists are one value. */
function flatten(value: object, prefix = ""): Map<string, unknown> {
  return new Map(
    Object.entries(value).flatMap(([key, inner]): [string, unknown][] =>
      inner !== null && typeof inner === "object" && !Array.isArray(inner)
        ? [...flatten(inner as object, `${prefix}${key}.`)]
        : [[`${prefix}${key}`, inner]],
    ),
  );
}

function show(value: unknown): string {
  return value === undefined ? "none" : JSON.stringify(value);
}
