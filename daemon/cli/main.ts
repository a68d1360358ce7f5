/**
 * The command line's entry: parses, runs one command, turns every failure into a message and an exit code, and ends
 * the process once all output is out.
 */
import { CommanderError, type Command } from "commander";
import { ExtractError } from "../../proto/error.ts";
import { printError, tolerateClosedOutput } from "./print.ts";
import { VersionPrinted, buildProgram } from "./program.ts";
import { coverArguments } from "./terminal.ts";

/** How long the last output may take to reach a reader that is slow. */
const FLUSH_MS_MAX = 10_000;

export interface Launcher {
  readVersion(): string;
}

/** Runs the command that `argv` (without Node and script) names. Never returns: the process ends with its exit code. */
export async function runCommandLine(
  argv: readonly string[],
  launcher: Launcher,
): Promise<never> {
  tolerateClosedOutput();
  const exitCode = await runCommand(argv, launcher);
  await Promise.race([
    Promise.all([flush(process.stdout), flush(process.stderr)]),
    new Promise((resolve) => setTimeout(resolve, FLUSH_MS_MAX)),
  ]);
  process.exit(exitCode);
}

async function runCommand(
  argv: readonly string[],
  launcher: Launcher,
): Promise<number> {
  let exitCode = 0;
  const program = buildProgram(
    () => launcher.readVersion(),
    (code) => (exitCode = code),
  );
  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof VersionPrinted) return 0;
    if (error instanceof CommanderError)
      return reportUsage(error, argv, program);
    return printError(completeUsage(error, argv, program), wantsStack(argv));
  }
}

function wantsStack(argv: readonly string[]): boolean {
  const at = argv.indexOf("--log-level");
  return argv[at + 1] === "debug" || argv.includes("--log-level=debug");
}

/** Commander throws for errors, and for help once it is printed. */
function reportUsage(
  error: CommanderError,
  argv: readonly string[],
  program: Command,
): number {
  if (error.code === "commander.help") return 2; // called without a command: the help is printed
  if (error.exitCode === 0) return 0;
  const message = coverArguments(error.message)
    .replace(/^error: /, "")
    .replace(
      /\s*\(Did you mean (one of )?([^)]*?)\?\)/,
      "; did you mean $1$2?",
    );
  return printError(
    new ExtractError("USAGE", message, { help: nameHelp(argv, program) }),
  );
}

/** Usage errors of ours that name no way out point to the help of their command. */
function completeUsage(
  error: unknown,
  argv: readonly string[],
  program: Command,
): unknown {
  if (
    !(error instanceof ExtractError) ||
    error.code !== "USAGE" ||
    "help" in error.details
  ) {
    return error;
  }
  return new ExtractError(
    "USAGE",
    error.message,
    { ...error.details, help: nameHelp(argv, program) },
    { cause: error },
  );
}

function nameHelp(argv: readonly string[], program: Command): string {
  const name = argv.find((word) => !word.startsWith("-"));
  const known = program.commands.some((command) => command.name() === name);
  return `See \`millrace ${known ? `${name} ` : ""}--help\`.`;
}

function flush(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.writableLength === 0 || stream.errored) resolve();
    else stream.write("", () => resolve());
  });
}
