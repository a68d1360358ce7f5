/** When a schedule is due next, by croner, which knows time zones and their changes of hours. */
import { Cron } from "croner";
import type { DueTime } from "../../actors/daemon/scheduler.machine.ts";
import type { ScheduleSettings } from "../config-daemon.ts";

/** All in milliseconds since the Unix epoch. `draw` gives a number from 0 to 1, without 1. */
export function findNextDue(
  { cron, timezone, jitterMs }: ScheduleSettings,
  after: number,
  now: number,
  draw: () => number = Math.random,
): DueTime {
  const next = new Cron(cron, {
    mode: "5-or-6-parts",
    timezone,
    paused: true,
  }).nextRun(new Date(after));
  if (next === null) return { dueAt: null, beginsAt: null, now };
  const dueAt = next.getTime();
  return { dueAt, beginsAt: dueAt + Math.floor(draw() * jitterMs), now };
}
