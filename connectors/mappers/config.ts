/**
 * The mappers of a YAML file; help text and JSON Schema derive from it. Only the daemon loads this: the source is given
 * what was read, and looks at the columns when it knows them (`createMapper`).
 */
import { z } from "zod";

const COLUMNS_MAX = 10_000;
const STEPS_MAX = 100;
const SETS_MAX = 1000;
const NAME_LENGTH_MAX = 1024;
const FILTER_LENGTH_MAX = 10_000;
const SECRET_LENGTH_MAX = 65_536;
/** A shorter one can be found by trying, given one value and its hash. */
const SALT_LENGTH_MIN = 16;
const KEEP_LAST_MAX = 64;
const MASK_TEXT_LENGTH_MAX = 256;

const column = z.string().min(1).max(NAME_LENGTH_MAX);
const columns = z.array(column).min(1).max(COLUMNS_MAX);

const hash = z.strictObject({
  columns: columns.describe("Columns to replace by their SHA-256."),
  salt: z.string().min(SALT_LENGTH_MIN).max(SECRET_LENGTH_MAX).optional().meta({
    secret: true,
    description:
      "Stands in front of each value: the hash is of salt and value. ${ENV} or file:PATH. Without one, values that can be guessed can be found.",
  }),
  output: z
    .enum(["hex", "binary"])
    .optional()
    .describe("64 digits, or 32 bytes. Default: hex."),
});

const encrypt = z.strictObject({
  columns: columns.describe("Columns to encrypt."),
  method: z
    .enum(["aes-256-gcm", "rsa-oaep"])
    .describe(
      "aes-256-gcm: with a key that also decrypts. rsa-oaep: with a public key; only the private one decrypts.",
    ),
  key: z.string().min(1).max(SECRET_LENGTH_MAX).meta({
    secret: true,
    description:
      "32 bytes as hexadecimal digits or base64, or an RSA public key as PEM. ${ENV} or file:PATH.",
  }),
  output: z
    .enum(["binary", "base64"])
    .optional()
    .describe("Bytes, or text. Default: binary."),
});

const mask = z
  .strictObject({
    columns: columns.describe("Columns to mask."),
    keepLast: z
      .int()
      .min(0)
      .max(KEEP_LAST_MAX)
      .optional()
      .describe(
        "Characters at the end that stay; the others become *. A value that has no more than these is masked whole.",
      ),
    text: z
      .string()
      .max(MASK_TEXT_LENGTH_MAX)
      .optional()
      .describe("A text that stands for every value."),
    email: z
      .literal(true)
      .optional()
      .describe("Keeps the first character and the domain: a***@example.com."),
  })
  .refine(
    ({ keepLast, text, email }) =>
      [keepLast, text, email].filter((way) => way !== undefined).length === 1,
    "say one of keepLast, text and email",
  );

const mapperStep = z
  .strictObject({
    select: columns.optional().describe("Columns to keep, in this order."),
    drop: columns.optional().describe("Columns to leave out."),
    rename: z
      .record(column, column)
      .optional()
      .describe("Names as they are to names as they shall be."),
    filter: z
      .string()
      .min(1)
      .max(FILTER_LENGTH_MAX)
      .optional()
      .describe(
        "Rows to keep, e.g. amount > 10 and (state in ('paid', 'open') or note is not null).",
      ),
    hash: hash.optional(),
    encrypt: encrypt.optional(),
    mask: mask.optional(),
  })
  .refine(
    (step) =>
      Object.values(step).filter((way) => way !== undefined).length === 1,
    "say one of select, drop, rename, filter, hash, encrypt and mask",
  );

/** What is done to which tables; where several sets name a table, one behind the other. */
export const mapperSets = z
  .array(
    z.strictObject({
      tables: z
        .array(z.string().min(1).max(NAME_LENGTH_MAX))
        .min(1)
        .optional()
        .describe("Patterns of tables. Default: all of the sync."),
      steps: z
        .array(mapperStep)
        .min(1)
        .max(STEPS_MAX)
        .describe("What is done to each row, one step behind the other."),
    }),
  )
  .max(SETS_MAX);

export type MapperStep = z.infer<typeof mapperStep>;
export type MapperSet = z.infer<typeof mapperSets>[number];
