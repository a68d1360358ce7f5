/** Rows of CSV and JSONL files, compressed or not. */
import { pipeline } from "node:stream/promises";
import { PassThrough, Readable } from "node:stream";
import {
  createGunzip,
  createZstdDecompress,
  type Gunzip,
  type ZstdDecompress,
} from "node:zlib";
import { ExtractError } from "../../../proto/error.ts";
import type { FileBytes } from "./file.ts";

/** A row that is longer is not ours: a row of 256 MiB, escaped, stays below. */
const ROW_CHARS_MAX = 512 * 1024 * 1024 - 1024;

/** Read at once. */
const PIECE_BYTES = 256 * 1024;

const QUOTE = '"';

/** The header names the columns; an empty field is null, `""` is empty text. */
export async function* readCsvRows(
  file: FileBytes,
): AsyncGenerator<Record<string, unknown>> {
  const { path } = file;
  let names: readonly (string | null)[] | null = null;
  let row = 0;
  for await (const fields of splitCsv(path, readText(file))) {
    if (names === null) {
      names = fields;
      continue;
    }
    row++;
    if (fields.length !== names.length)
      throw makeError(
        path,
        row,
        `it has ${fields.length} fields, the header ${names.length}`,
      );
    yield Object.fromEntries(names.map((name, i) => [name ?? "", fields[i]!]));
  }
}

export async function* readJsonlRows(
  file: FileBytes,
): AsyncGenerator<Record<string, unknown>> {
  const { path } = file;
  let row = 0;
  for await (const line of splitLines(path, readText(file))) {
    row++;
    let value: unknown;
    try {
      value = JSON.parse(line, keepDigits);
    } catch (cause) {
      throw makeError(path, row, (cause as Error).message, cause);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw makeError(path, row, "it is no object");
    yield value as Record<string, unknown>;
  }
}

/** Keeps a number that a double holds as it is written; else a bigint for an integer, and the digits for the rest. */
function keepDigits(
  _key: string,
  value: unknown,
  context?: { source?: string },
): unknown {
  const source = context?.source;
  if (typeof value !== "number" || source === undefined) return value;
  if (/^-?\d+$/.test(source))
    return Number.isSafeInteger(value) ? value : BigInt(source);
  return String(value) === source || Object.is(value, -0) ? value : source;
}

/** The file's text in pieces; characters are never cut. */
async function* readText(file: FileBytes): AsyncGenerator<string> {
  const { path, size } = file;
  const source = Readable.from(readPieces(file), { objectMode: false });
  const decoder = createDecoder(path);
  // what goes wrong is thrown by the loop as well; here it must not go unhandled
  pipeline(source, decoder).catch(() => {});
  const text = new TextDecoder("utf-8", { ignoreBOM: true });
  try {
    for await (const chunk of decoder)
      yield text.decode(chunk as Uint8Array, { stream: true });
    yield text.decode();
    checkFrames(path, decoder, size);
  } finally {
    source.destroy();
    decoder.destroy();
  }
}

async function* readPieces({
  size,
  slice,
}: FileBytes): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < size; start += PIECE_BYTES)
    yield new Uint8Array(
      await slice(start, Math.min(start + PIECE_BYTES, size)),
    );
}

type Decoder = Gunzip | ZstdDecompress | PassThrough;

function createDecoder(path: string): Decoder {
  if (path.endsWith(".gz")) return createGunzip();
  if (path.endsWith(".zst")) return createZstdDecompress();
  return new PassThrough();
}

/** Node's zstd ends behind the first frame without a word; our files are one frame, others' may be more. */
function checkFrames(path: string, decoder: Decoder, size: number): void {
  if (path.endsWith(".zst") && "bytesWritten" in decoder)
    if (decoder.bytesWritten < size)
      throw new ExtractError(
        "DESTINATION_FAILED",
        `${path} goes on behind its first zstd frame, which is all that can be read here`,
        { path, size, frameBytes: decoder.bytesWritten },
      );
}

async function* splitLines(
  path: string,
  texts: AsyncIterable<string>,
): AsyncGenerator<string> {
  let rest = "";
  for await (const text of texts) {
    const lines = text.split("\n");
    lines[0] = rest + lines[0]!;
    rest = lines.pop()!;
    checkLength(path, rest.length);
    yield* lines;
  }
  if (rest !== "") yield rest;
}

/** Fields of each line; null for an empty field without quotes. */
async function* splitCsv(
  path: string,
  texts: AsyncIterable<string>,
): AsyncGenerator<(string | null)[]> {
  let rest = "";
  let isInQuotes = false;
  /** Where the search for the line's end goes on. */
  let scanned = 0;
  for await (const text of texts) {
    rest += text;
    let lineStart = 0;
    for (; scanned < rest.length; scanned++) {
      const character = rest[scanned];
      if (character === QUOTE) isInQuotes = !isInQuotes;
      else if (character === "\n" && !isInQuotes) {
        yield parseCsvLine(path, rest.slice(lineStart, scanned));
        lineStart = scanned + 1;
      }
    }
    rest = rest.slice(lineStart);
    scanned -= lineStart;
    checkLength(path, rest.length);
  }
  if (isInQuotes)
    throw new ExtractError(
      "DESTINATION_FAILED",
      `${path} ends within a quoted field`,
      { path },
    );
  if (rest !== "") yield parseCsvLine(path, rest);
}

function parseCsvLine(path: string, line: string): (string | null)[] {
  const fields: (string | null)[] = [];
  let at = 0;
  for (;;) {
    let end: number;
    if (line[at] === QUOTE) {
      end = findClosingQuote(line, at + 1);
      fields.push(line.slice(at + 1, end).replaceAll('""', QUOTE));
      end++;
    } else {
      const comma = line.indexOf(",", at);
      end = comma === -1 ? line.length : comma;
      fields.push(end === at ? null : line.slice(at, end));
    }
    if (end === line.length) return fields;
    if (line[end] !== ",")
      throw new ExtractError(
        "DESTINATION_FAILED",
        `${path} has a character behind a closing quote`,
        { path },
      );
    at = end + 1;
  }
}

/** The quote that is not doubled; a line holds an even number, so behind its last one there is none to find. */
function findClosingQuote(line: string, start: number): number {
  for (let at = start; ; at += 2) {
    at = line.indexOf(QUOTE, at);
    if (at === -1) return line.length - 1;
    if (line[at + 1] !== QUOTE) return at;
  }
}

function checkLength(path: string, length: number): void {
  if (length > ROW_CHARS_MAX)
    throw new ExtractError(
      "DESTINATION_FAILED",
      `${path} has a row of more than ${ROW_CHARS_MAX} characters`,
      { path },
    );
}

function makeError(
  path: string,
  row: number,
  reason: string,
  cause?: unknown,
): ExtractError {
  return new ExtractError(
    "DESTINATION_FAILED",
    `row ${row} of ${path} cannot be read: ${reason}`,
    { path, row },
    { cause },
  );
}
