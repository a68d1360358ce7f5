/**
 * One message of the trigger topic, read with suspicion: bytes in, an order out, or why there is none. Pure. What a
 * message does not say is not guessed, and a word that is not known is refused: a misspelt `ranges` would copy all.
 */
import protobuf from "protobufjs/dist/minimal/protobuf.min.js";
import { z } from "zod";
import { millrace } from "../../proto/gen/trigger.js";
import { nearestNames } from "../../proto/nearest.ts";
import type { TriggerOrder } from "../service/types.ts";

export const TRIGGER_FORMATS = ["json", "protobuf"] as const;
export type TriggerFormat = (typeof TRIGGER_FORMATS)[number];

/** Bytes of a message's value. */
export const MESSAGE_BYTES_MAX = 65_536;
export const STREAMS_MAX = 1_000;
export const RANGES_MAX = 1_000;
const NAME_LENGTH_MAX = 200;
const BOUND_LENGTH_MAX = 4_096;
const KEY_LENGTH_MAX = 256;
/** Characters of a reason, which goes into a header. */
export const REASON_LENGTH_MAX = 1_000;
/** Of what a message says, in a reason. */
const QUOTED_LENGTH_MAX = 40;

export type ParsedTrigger =
  | { readonly order: Omit<TriggerOrder, "origin"> }
  /** What is wrong with it, in words that its producer understands. */
  | { readonly reason: string };

/** Neither store nor source takes half a character or a NUL. */
const text = (lengthMax: number) =>
  z
    .string("must be text")
    .max(lengthMax, `is longer than ${lengthMax} characters`)
    .refine(
      (value) => value.isWellFormed() && !value.includes("\0"),
      "holds a NUL or half a character",
    );

const name = text(NAME_LENGTH_MAX).min(1, "is empty");

const bound = z
  .union([text(BOUND_LENGTH_MAX), z.int().transform(String)], {
    error: `must be text of up to ${BOUND_LENGTH_MAX} characters, or a whole number of up to 2^53`,
  })
  .nullish()
  .transform((value) => value ?? null);

const range = z
  .strictObject({ stream: name, column: name, from: bound, until: bound })
  .refine(({ from, until }) => from !== null || until !== null, {
    error: "is open on both sides; leave it out",
  });

const cursorWindow = z
  .strictObject({ from: bound, to: bound })
  .refine(({ from, to }) => from !== null || to !== null, {
    error: "is open on both sides; leave it out",
  });

const parts = {
  sync: name,
  streams: z
    .array(name, "must be a list")
    .min(1, "is empty; leave it out for all")
    .max(STREAMS_MAX, `has more than ${STREAMS_MAX} entries`)
    .nullish(),
  ranges: z
    .array(range, "must be a list")
    .min(1, "is empty; leave it out for all")
    .max(RANGES_MAX, `has more than ${RANGES_MAX} entries`)
    .nullish(),
  window: cursorWindow.nullish(),
  key: text(KEY_LENGTH_MAX).min(1, "is empty; leave it out for none").nullish(),
};

const triggerSchema = z.strictObject(parts, {
  error: ({ code }) =>
    code === "invalid_type" ? "must be an object" : undefined,
});

const keysAt = {
  window: Object.keys(cursorWindow.shape),
  ranges: Object.keys(range.shape),
  "": Object.keys(parts),
} as const;

export function parseTrigger(
  value: Uint8Array | null,
  format: TriggerFormat,
): ParsedTrigger {
  if (value === null || value.length === 0)
    return { reason: "the message has no value" };
  if (value.length > MESSAGE_BYTES_MAX)
    return {
      reason: `the message has ${value.length} bytes, more than ${MESSAGE_BYTES_MAX}`,
    };
  const read = format === "json" ? readJson(value) : readProtobuf(value);
  if ("reason" in read) return read;
  const parsed = triggerSchema.safeParse(read.body);
  if (!parsed.success) return { reason: describe(parsed.error) };
  const { sync, streams, ranges, window, key } = parsed.data;
  return {
    order: {
      sync,
      scope: {
        streams: streams ?? null,
        ranges: ranges ?? null,
        window: window ?? null,
      },
      key: key ?? null,
    },
  };
}

type Body = { readonly body: unknown } | { readonly reason: string };

function readJson(value: Uint8Array): Body {
  let characters: string;
  try {
    characters = new TextDecoder("utf-8", { fatal: true }).decode(value);
  } catch {
    return { reason: "the message is not UTF-8" };
  }
  try {
    return { body: JSON.parse(characters) };
  } catch (error) {
    return { reason: `the message is no JSON: ${quote(String(error))}` };
  }
}

const { TriggerMessage } = millrace.trigger.v1;

function readProtobuf(value: Uint8Array): Body {
  let message: millrace.trigger.v1.TriggerMessage;
  try {
    const reader = protobuf.Reader.create(value);
    reader.discardUnknown = false;
    message = TriggerMessage.decode(reader);
  } catch (error) {
    return { reason: `the message is no TriggerMessage: ${quote(String(error))}` }; // prettier-ignore
  }
  const { streams, ranges, window, $unknowns } = message;
  const inner = [...ranges, ...(window ? [window] : [])];
  if ($unknowns || inner.some((part) => part.$unknowns))
    return {
      reason: "the message has a field that this version does not know",
    };
  return {
    body: {
      sync: message.sync,
      ...(streams.length === 0 ? {} : { streams }),
      ...(ranges.length === 0
        ? {}
        : {
            ranges: ranges.map(({ stream, column, from, until }) => ({
              stream,
              column,
              from,
              until,
            })),
          }),
      ...(window ? { window: { from: window.from, to: window.to } } : {}),
      key: message.key,
    },
  };
}

/** The first few faults; a message can hold thousands. */
function describe(error: z.ZodError): string {
  const words = error.issues.slice(0, 3).map((issue) => {
    const path = issue.path.map(String).join(".");
    if (issue.code === "unrecognized_keys")
      return `${path === "" ? "" : `${path}: `}${describeUnknown(String(issue.path[0] ?? ""), issue.keys)}`;
    return `${path === "" ? "the message" : path} ${isPlain(issue.message) ? issue.message : "is missing or of the wrong type"}`;
  });
  return words.join("; ").slice(0, REASON_LENGTH_MAX);
}

/** Our own words begin with a verb; the library's with a capital. */
function isPlain(message: string): boolean {
  return /^[a-z]/.test(message);
}

function describeUnknown(part: string, keys: readonly string[]): string {
  const valid = keysAt[part as keyof typeof keysAt] ?? keysAt[""];
  const key = keys[0] ?? "";
  const nearest = nearestNames(key, valid)[0];
  const help =
    nearest === undefined
      ? `known are ${valid.join(", ")}`
      : `did you mean \`${nearest}\`?`;
  return `\`${quote(key)}\` is not known; ${help}`;
}

/** What came from outside, fit for a line and a header. */
function quote(words: string): string {
  const printable = words.replaceAll(/[^\x20-\x7e]/g, "?");
  return printable.length > QUOTED_LENGTH_MAX * 3
    ? `${printable.slice(0, QUOTED_LENGTH_MAX * 3)}…`
    : printable;
}
