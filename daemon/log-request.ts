/** What a sync may be told of how its source's log is followed, and what it is by default. */
import { InvalidValue } from "./config-values.ts";
import type { LogBudget, LogStepTaken } from "../proto/log-budget.ts";

/** What becomes of rows that were copied before, when a column comes that has a value in them from its beginning. */
export const FILLED_COLUMNS = ["copy", "warn"] as const;
export type FilledColumns = (typeof FILLED_COLUMNS)[number];

/** What becomes of an event that cannot be decoded: the log ends there, or it is set aside in a file and told of. */
export const UNDECODABLE = ["fail", "quarantine"] as const;
export type UndecodablePolicy = (typeof UNDECODABLE)[number];

/** How a sync follows the log of its source (mode `cdc`). */
export interface LogRequest {
  /** The run goes on until it is stopped; else it ends where the log stood when it began. */
  readonly continuous: boolean;
  /** A row of the log waits for no longer than this until it is durable and shown. */
  readonly checkpointEverySeconds: number;
  /** The log that the sync has is given up: every table is copied anew, and a new log begins. */
  readonly resync: boolean;
  readonly budget: LogBudget;
  readonly filledColumns: FilledColumns;
  /** Rows have the column `_txid`. */
  readonly transactionId: boolean;
  readonly onUndecodable: UndecodablePolicy;
}

const GIBIBYTE = 1024 ** 3;
/** Of what nobody has set a budget for: people are told, and it gets the machine for itself. */
const BUDGET_BYTES_DEFAULT = 10 * GIBIBYTE;
const PATIENCE_MS = 60_000;

const shares = { warn: 0.5, hurry: 0.7, pause: 0.85 };

export const logDefaults: LogRequest = {
  continuous: false,
  checkpointEverySeconds: 10,
  resync: false,
  budget: buildBudget({}),
  filledColumns: "copy",
  transactionId: false,
  onUndecodable: "fail",
};

export interface BudgetSettings {
  readonly bytes?: number;
  /** Null: the step is not taken. */
  readonly shareOf?: Readonly<Partial<Record<LogStepTaken, number | null>>>;
  readonly patienceMs?: number;
}

/** A log is given up, which costs a copy of every table, only where somebody has said what the source can bear. */
export function buildBudget({
  bytes,
  shareOf = {},
  patienceMs = PATIENCE_MS,
}: BudgetSettings): LogBudget {
  return {
    bytes: bytes ?? BUDGET_BYTES_DEFAULT,
    shareOf: {
      ...shares,
      giveUp: bytes === undefined ? null : 1,
      ...shareOf,
    },
    patienceMs,
  };
}

const words: Readonly<Record<string, LogStepTaken>> = {
  warn: "warn",
  hurry: "hurry",
  pause: "pause",
  "give-up": "giveUp",
};

/** The largest share: a disk may hold more than the budget for a while. */
const SHARE_MAX = 10;

/**
 * `warn=50%,pause=never,give-up=120%`. Steps that are not named keep their defaults; the later ones come later.
 * @throws InvalidValue
 */
export function parseSteps(
  text: string,
): NonNullable<BudgetSettings["shareOf"]> {
  const read: Partial<Record<LogStepTaken, number | null>> = {};
  for (const part of text.split(",")) {
    const [, word = "", value = ""] =
      /^\s*([a-z-]+)\s*=\s*(\S+)\s*$/.exec(part) ?? [];
    const step = words[word];
    if (step === undefined)
      throw new InvalidValue(
        `has ${JSON.stringify(part.trim().slice(0, 40))}; write it like warn=50%,hurry=70%,pause=85%,give-up=never`,
      );
    const percent = /^(\d{1,4})%$/.exec(value)?.[1];
    const share = Number(percent ?? NaN) / 100;
    if (value !== "never" && !(share > 0 && share <= SHARE_MAX))
      throw new InvalidValue(
        `has ${value.slice(0, 40)} for ${word}; it is a share of the budget between 1% and ${SHARE_MAX * 100}%, or never`,
      );
    read[step] = value === "never" ? null : share;
  }
  const order = (["warn", "hurry", "pause", "giveUp"] as const)
    .map((step) => buildBudget({ bytes: 1, shareOf: read }).shareOf[step])
    .filter((share) => share !== null);
  const isOrdered = order.every(
    (share, at) => at === 0 || share >= (order[at - 1] ?? 0),
  );
  if (!isOrdered)
    throw new InvalidValue(
      "has its steps in another order than warn, hurry, pause, give-up",
    );
  return read;
}
