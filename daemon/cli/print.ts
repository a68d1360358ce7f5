/** Where everything that the command line prints goes out, so that no secret and no control character passes. */
import { errorCodes, toWireError, type WireError } from "../../proto/error.ts";
import {
  coverSecrets,
  createPaint,
  hasColours,
  sanitizeLines,
} from "./terminal.ts";

const DETAIL_LENGTH_MAX = 2000;

let noteClosed = () => {};

/** Whether the reader of stdout has gone away, as `head` does. A run goes on without it; what only prints is done. */
export const output = {
  closed: false,
  whenClosed: new Promise<void>((resolve) => (noteClosed = resolve)),
};

/** Takes the errors of stdout and stderr that say only that nobody reads them. */
export function tolerateClosedOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      if (stream !== process.stdout) return;
      output.closed = true;
      noteClosed();
    });
  }
}

/** Colours are kept: `text` is the command line's own, with foreign parts sanitized by its author. */
export function printOut(text: string): void {
  process.stdout.write(`${coverSecrets(text)}\n`);
}

export function printNote(text: string): void {
  process.stderr.write(`${coverSecrets(text)}\n`);
}

export function printWarning(message: string): void {
  const paint = createPaint(hasColours(process.stderr));
  printNote(`${paint.yellow("warning")} ${sanitizeLines(message)}`);
}

/** One JSON value as one line. Strings are covered one by one, so that the JSON stays whole. */
export function printJson(value: unknown): void {
  process.stdout.write(`${toJsonLine(value)}\n`);
}

export function toJsonLine(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => {
    if (typeof item === "bigint") return item.toString();
    return typeof item === "string" ? coverSecrets(item) : item;
  });
}

/**
 * Prints an error for people: code and message, where it happened, what to do. The stack shows for our own faults and
 * when `withStack`. Returns the exit code that the error asks for.
 */
export function printError(error: unknown, withStack = false): number {
  const wire = toWireError(error);
  const paint = createPaint(hasColours(process.stderr));
  printNote(describeError(wire, paint));
  const stack = error instanceof Error ? error.stack : undefined;
  if (withStack || wire.code === "INTERNAL") {
    const text = stack ?? String(wire.details["stack"] ?? "");
    if (text !== "") printNote(paint.dim(sanitizeLines(text)));
    if (error instanceof Error && error.cause instanceof Error) {
      printNote(paint.dim(sanitizeLines(`caused by ${error.cause.stack}`)));
    }
  }
  return errorCodes[wire.code].exitCode;
}

/** `error CODE: message`, the details one per line, and the help. */
export function describeError(
  wire: WireError,
  paint = createPaint(false),
): string {
  const lines = [
    `${paint.red(`error ${wire.code}:`)} ${sanitizeLines(wire.message)}`,
  ];
  for (const [name, value] of Object.entries(wire.details)) {
    if (name === "stack" || name === "help" || value === null) continue;
    const text = sanitizeLines(String(value)).slice(0, DETAIL_LENGTH_MAX);
    lines.push(`  ${name}: ${text}`);
  }
  // A usage error knows the way out better than the table does.
  const help = wire.details["help"] ?? errorCodes[wire.code].help;
  lines.push(`  ${paint.cyan("→")} ${String(help)}`);
  return coverSecrets(lines.join("\n"));
}
