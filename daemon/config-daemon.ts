/** The parts of `millrace.yaml` that only the daemon reads: where it listens, its limits, and when syncs are due. */
import { availableParallelism } from "node:os";
import { Cron } from "croner";
import { z } from "zod";
import { nearestNames } from "../proto/nearest.ts";
import {
  TEXT_LENGTH_MAX,
  durationMs,
  parsed,
  sizeBytes,
  text,
  textOrNumber,
  whole,
} from "./config-parsing.ts";
import { ATTEMPTS_MAX, InvalidValue } from "./config-values.ts";
import {
  kafkaTriggerSchema,
  readKafkaTrigger,
  type KafkaTriggerConfig,
} from "./triggers/config.ts";

const TOKENS_MAX = 1000;
/** A token that can be guessed is none. */
const TOKEN_LENGTH_MIN = 16;
const RUNS_MAX = 10_000;
const CONNECTIONS_MAX = 10_000;
/** A run needs its keeper's, one for questions, and one that reads. */
const CONNECTIONS_MIN = 3;
const DAY_MS = 86_400_000;
const PORT_MAX = 65_535;
const CRON_LENGTH_MAX = 200;
const INLINE_BYTES_DEFAULT = 64 * 1024 * 1024;
const INLINE_BYTES_MAX = 1024 ** 4;
const INLINE_THREADS_MAX = 64;
/** More would only take turns with the loop and each other. */
const INLINE_THREADS_DEFAULT = Math.min(4, availableParallelism());

export const ROLES = ["viewer", "operator", "admin"] as const;
export type Role = (typeof ROLES)[number];

export interface ListenAddress {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
}

/** @throws InvalidValue */
function parseListen(value: string | number): ListenAddress {
  const match = /^(?:(\[[\da-fA-F:.]+\]|[^:[\]/\s]+):)?(\d{1,5})$/.exec(
    String(value).trim(),
  );
  const port = Number(match?.[2]);
  if (!match || port > PORT_MAX) {
    throw new InvalidValue(
      "is no address; write it like 127.0.0.1:7420, [::1]:7420 or 7420",
    );
  }
  const host = (match[1] ?? "127.0.0.1").replace(/^\[|\]$/g, "");
  return { host, port };
}

/** Turns a croner error into a clause: croner prefixes its messages with the class that threw. */
function describeCronFault(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error);
  return `is no cron pattern: ${words.replace(/^Cron[A-Za-z]*: /, "")}`;
}

/** @throws InvalidValue */
function parseTimezone(zone: string): string {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return zone;
  } catch {
    const nearest = nearestNames(zone, Intl.supportedValuesOf("timeZone"))[0];
    throw new InvalidValue(
      nearest === undefined
        ? "is no time zone; write it like Europe/Zurich or UTC"
        : `is no time zone; did you mean \`${nearest}\`?`,
    );
  }
}

/**
 * Five fields (minute first), six (second first), or a nickname such as @hourly.
 * @throws InvalidValue, also for a pattern that never comes due
 */
function parseCron(pattern: string): string {
  if (pattern.length > CRON_LENGTH_MAX) {
    throw new InvalidValue(`is longer than ${CRON_LENGTH_MAX} letters`);
  }
  let next: Date | null;
  try {
    next = new Cron(pattern, {
      mode: "5-or-6-parts",
      timezone: "UTC",
      paused: true,
    }).nextRun();
  } catch (error) {
    throw new InvalidValue(describeCronFault(error));
  }
  if (next === null) throw new InvalidValue("never comes due");
  return pattern;
}

export interface ScheduleSettings {
  readonly cron: string;
  readonly timezone: string;
  readonly jitterMs: number;
}

const TIMEZONE_DEFAULT = "UTC";

/** `0 3 * * *`, or with a time zone behind it: `0 3 * * * Europe/Zurich`. @throws InvalidValue */
function parseScheduleText(value: string): ScheduleSettings {
  const words = value.trim().split(/\s+/);
  const last = words.at(-1) ?? "";
  // fields have letters too (MON, MON/2), but none so many in front of a slash
  const isZone = words.length > 1 && /^([A-Za-z_]{4,}\/.+|UTC|GMT)$/.test(last);
  const cron = parseCron(isZone ? words.slice(0, -1).join(" ") : value.trim());
  return {
    cron,
    timezone: isZone ? parseTimezone(last) : TIMEZONE_DEFAULT,
    jitterMs: 0,
  };
}

export const scheduleSchema = z
  .union([
    parsed(text, parseScheduleText),
    z.strictObject({
      cron: parsed(text, parseCron).describe(
        "Five fields (minute, hour, day, month, day of week), six with seconds in front, or @hourly, @daily, @weekly, @monthly.",
      ),
      timezone: parsed(text, parseTimezone)
        .optional()
        .describe(
          "Time zone of the pattern, e.g. Europe/Zurich. Default: UTC.",
        ),
      jitter: durationMs(0, DAY_MS)
        .optional()
        .describe(
          "A run begins up to so much later, drawn anew each time, so that not all begin at once. Default: 0.",
        ),
    }),
  ])
  .describe(
    "When the daemon runs this sync: a cron pattern, with a time zone behind it or as an object. A sync that is still at work when it comes due is not begun a second time.",
  );

export function readSchedule(
  schedule: z.output<typeof scheduleSchema> | undefined,
): ScheduleSettings | null {
  if (schedule === undefined) return null;
  if ("jitterMs" in schedule) return schedule;
  return {
    cron: schedule.cron,
    timezone: schedule.timezone ?? TIMEZONE_DEFAULT,
    jitterMs: schedule.jitter ?? 0,
  };
}

/** A sync that goes on without end is begun again soon after it has ended, whatever ended it. */
export const continuousSchedule: ScheduleSettings = {
  cron: "*/15 * * * * *",
  timezone: TIMEZONE_DEFAULT,
  jitterMs: 0,
};

/** As people read it: `0 3 * * * Europe/Zurich`. */
export function describeSchedule({
  cron,
  timezone,
  jitterMs,
}: ScheduleSettings): string {
  const jitter = jitterMs === 0 ? "" : ` (up to ${jitterMs / 1000} s later)`;
  return `${cron} ${timezone}${jitter}`;
}

export const ledgerSchema = text.describe(
  "One ledger for all syncs of this file: a path, which lies beside this file, or a postgres:// URL that several daemons may share; may be file:PATH of a file that holds it. Default with `daemon`: .millrace/ledger.sqlite beside this file.",
);

const tokenSchema = z.strictObject({
  name: z
    .string()
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9_.@-]{0,99}$/,
      "must have letters, digits, `_`, `-`, `.` and `@`, 100 at most",
    )
    .describe("Who it is; stands in the timeline beside what was ordered."),
  role: z
    .enum(ROLES)
    .describe(
      "viewer: reads; operator: also triggers, pauses, cancels; admin: also resets and reloads.",
    ),
  token: z
    .string()
    .min(TOKEN_LENGTH_MIN, `must have at least ${TOKEN_LENGTH_MIN} letters`)
    .max(TEXT_LENGTH_MAX)
    .describe("The secret: ${ENV} or file:PATH."),
});

export const daemonSchema = z
  .strictObject({
    listen: parsed(textOrNumber, parseListen)
      .optional()
      .describe(
        "Address of the API and the inspector. Default: 127.0.0.1:7420.",
      ),
    tokens: z
      .array(tokenSchema)
      .min(1)
      .max(TOKENS_MAX)
      .refine(
        (tokens) =>
          new Set(tokens.map(({ name }) => name)).size === tokens.length,
        { error: "name somebody twice" },
      )
      .optional()
      .describe(
        "Who may speak to the API. Default: one admin, whose token is drawn and kept beside the ledger.",
      ),
    concurrency: z
      .strictObject({
        runs: whole(RUNS_MAX).optional().describe("Runs at once. Default: 8."),
        perSource: whole(RUNS_MAX)
          .optional()
          .describe("Runs at once that read one server. Default: 4."),
        perDestination: whole(RUNS_MAX)
          .optional()
          .describe("Runs at once that write to one place. Default: 4."),
      })
      .optional()
      .describe("How much is done at once. A sync never runs twice at once."),
    connections: z
      .strictObject({
        perSource: parsed(whole(CONNECTIONS_MAX), (count) => {
          if (count < CONNECTIONS_MIN)
            throw new InvalidValue(
              `must be at least ${CONNECTIONS_MIN}: a run takes no fewer`,
            );
          return count;
        })
          .optional()
          .describe(
            "Connections to one server, of all runs together. Default: 100.",
          ),
      })
      .optional()
      .describe("What the servers are asked to bear."),
    retry: z
      .strictObject({
        attempts: whole(ATTEMPTS_MAX)
          .optional()
          .describe(
            "Times that a triggered run is begun or gone on with, the first included. Default: 3.",
          ),
        backoffMin: durationMs(100, DAY_MS)
          .optional()
          .describe("Wait before the second time; it doubles. Default: 30s."),
        backoffMax: durationMs(100, DAY_MS)
          .optional()
          .describe("The longest wait. Default: 15m."),
      })
      .optional()
      .describe("Of runs that end with a fault that is worth retrying."),
    drain: durationMs(0, DAY_MS)
      .optional()
      .describe(
        "How long a stop waits for runs to checkpoint before it ends them. Default: 60s.",
      ),
    inline: z
      .union([
        z.literal(false),
        z.strictObject({
          bytesMax: sizeBytes(1, INLINE_BYTES_MAX)
            .optional()
            .describe(
              "A sync whose last run moved no more than this runs inline. Default: 64MiB.",
            ),
          threads: whole(INLINE_THREADS_MAX)
            .optional()
            .describe(
              "Threads that small runs share. Default: one a core, 4 at most.",
            ),
          firstRuns: z
            .boolean()
            .optional()
            .describe(
              "Whether syncs that have never succeeded run inline as well, whatever their size is. Default: false.",
            ),
        }),
      ])
      .optional()
      .describe(
        "Small runs share a few threads instead of having processes of their own. false: all have processes.",
      ),
    kafka: kafkaTriggerSchema.optional(),
  })
  .describe(
    "The daemon that `millrace daemon -f` starts; {} takes all defaults.",
  );

export interface TokenSettings {
  readonly name: string;
  readonly role: Role;
  readonly token: string;
}

export interface Limits {
  readonly runs: number;
  readonly perSource: number;
  readonly perDestination: number;
  /** Connections to one server. */
  readonly connectionsPerSource: number;
}

export interface RetrySettings {
  readonly attempts: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
}

export interface InlineSettings {
  readonly bytesMax: number;
  readonly threads: number;
  readonly firstRuns: boolean;
}

export interface DaemonSettings {
  readonly listen: ListenAddress;
  /** Empty: one is drawn. */
  readonly tokens: readonly TokenSettings[];
  readonly limits: Limits;
  readonly retry: RetrySettings;
  readonly drainMs: number;
  /** Null: every run has processes of its own. */
  readonly inline: InlineSettings | null;
  /** Null: no topic triggers runs. */
  readonly kafka: KafkaTriggerConfig | null;
}

function readInline(
  inline: NonNullable<z.output<typeof daemonSchema>["inline"]>,
): InlineSettings | null {
  if (inline === false) return null;
  return {
    bytesMax: inline.bytesMax ?? INLINE_BYTES_DEFAULT,
    threads: inline.threads ?? INLINE_THREADS_DEFAULT,
    firstRuns: inline.firstRuns ?? false,
  };
}

/** With all defaults. */
export function readDaemonSettings(
  daemon: z.output<typeof daemonSchema>,
): DaemonSettings {
  const { concurrency, connections, retry } = daemon;
  const backoffMinMs = retry?.backoffMin ?? 30_000;
  return {
    listen: daemon.listen ?? { host: "127.0.0.1", port: 7420 },
    tokens: daemon.tokens ?? [],
    limits: {
      runs: concurrency?.runs ?? 8,
      perSource: concurrency?.perSource ?? 4,
      perDestination: concurrency?.perDestination ?? 4,
      connectionsPerSource: connections?.perSource ?? 100,
    },
    retry: {
      attempts: retry?.attempts ?? 3,
      backoffMinMs,
      backoffMaxMs: Math.max(backoffMinMs, retry?.backoffMax ?? 900_000),
    },
    drainMs: daemon.drain ?? 60_000,
    inline: readInline(daemon.inline ?? {}),
    kafka: daemon.kafka ? readKafkaTrigger(daemon.kafka) : null,
  };
}
