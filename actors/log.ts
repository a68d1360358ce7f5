/**
 * What a child process says about itself, for whoever runs it: JSON lines on stderr, by pino. Stdout belongs to the
 * Airbyte protocol, and what the bookkeeper has to know goes over the control pipe; nothing is told twice, so that a
 * run without `MILLRACE_LOG_LEVEL` says nothing here.
 */
import { createRequire } from "node:module";
import type { Logger } from "pino";

/** From the most talkative on. */
const levels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];
const LEVEL_DEFAULT = "warn";

type Level = "debug" | "info" | "warn";

/** Where it happened. Never rows, values or addresses with a password. */
export interface LogFields {
  readonly run?: string;
  readonly stream?: number;
  readonly partition?: number;
  readonly [field: string]: string | number | boolean | null | undefined;
}

export interface Log {
  /** From now on every line has these. */
  bind(fields: LogFields): void;
  write(level: Level, message: string, fields?: LogFields): void;
}

/**
 * pino is loaded with the first line that is written, not before: it takes 50 ms, and three processes start before the
 * first row of a small run.
 */
export function createLog(
  processName: "source" | "destination" | "keeper",
  env: Readonly<Record<string, string | undefined>> = process.env,
): Log {
  const wanted = env["MILLRACE_LOG_LEVEL"]?.toLowerCase();
  const isKnown = wanted !== undefined && levels.includes(wanted);
  const threshold = levels.indexOf(isKnown ? wanted : LEVEL_DEFAULT);
  let bound: LogFields = { process: processName };
  let logger: Logger | null = null;
  const write: Log["write"] = (level, message, fields = {}) => {
    if (levels.indexOf(level) < threshold) return;
    logger ??= openLogger(levels[threshold] ?? LEVEL_DEFAULT);
    logger[level]({ ...bound, ...fields }, message);
  };
  if (wanted !== undefined && !isKnown)
    write("warn", `MILLRACE_LOG_LEVEL is none of ${levels.join(", ")}`);
  return {
    bind: (fields) => {
      bound = { ...bound, ...fields };
    },
    write,
  };
}

function openLogger(level: string): Logger {
  const { pino } = createRequire(import.meta.url)(
    "pino",
  ) as typeof import("pino");
  // at once: the process may end with the next line
  const stderr = pino.destination({ fd: 2, sync: true });
  // whoever read it may be gone; a keeper outlives its terminal
  stderr.on("error", () => {});
  return pino({ level, base: null }, stderr);
}
