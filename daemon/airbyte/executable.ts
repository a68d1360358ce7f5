/**
 * Our connectors as executables of the Airbyte protocol: `spec`, `check`, `discover` and `read`, or `write`. Stdout is the
 * protocol and nothing else; whatever fails is told there as a TRACE, with what to do about it, and by the exit code.
 */
import { readFileSync, statSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { toTraceError } from "../../connectors/airbyte/errors.ts";
import { parseExact } from "../../connectors/airbyte/exact-json.ts";
import { ExtractError, errorCodes, toWireError } from "../../proto/error.ts";
import {
  SOURCE_EXECUTABLES,
  readSourceConfig,
  type SourceExecutable,
} from "./source-config.ts";
import { writeMessage } from "./stdout.ts";

export type DestinationExecutable =
  | "destination-s3"
  | "destination-file"
  | "destination-postgres";
export type ExecutableName = SourceExecutable | DestinationExecutable;

/** Bytes of a file that the platform gives. */
const FILE_BYTES_MAX = 256 * 1024 * 1024;

interface GivenFiles {
  readonly config?: string;
  readonly catalog?: string;
  readonly state?: string;
}

type Finish = (exitCode: number) => void;

/** Runs the command that `argv` (without Node and script) names. Never returns. */
export async function runExecutable(
  name: ExecutableName,
  argv: readonly string[],
): Promise<never> {
  keepStdoutClean();
  let exitCode = 0;
  try {
    const program = buildProgram(name, (code) => (exitCode = code));
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0)
      process.exit(0);
    const wire = toWireError(
      error instanceof CommanderError
        ? new ExtractError("USAGE", error.message.replace(/^error: /, ""))
        : error,
    );
    await writeMessage(toTraceError(wire, Date.now()));
    exitCode = errorCodes[wire.code].exitCode;
  }
  process.exit(exitCode);
}

function buildProgram(name: ExecutableName, finish: Finish): Command {
  const program = new Command(name)
    .description(`${name}, a connector of the Airbyte protocol`)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => process.stderr.write(text),
      writeErr: (text) => process.stderr.write(text),
    });
  return isSource(name)
    ? describeSource(program, name, finish)
    : describeDestination(program, name, finish);
}

function isSource(name: ExecutableName): name is SourceExecutable {
  return (SOURCE_EXECUTABLES as readonly string[]).includes(name);
}

function describeSource(
  program: Command,
  name: SourceExecutable,
  finish: Finish,
): Command {
  program
    .command("spec")
    .description("tell what the configuration may be")
    .action(async () => {
      const { tellSpec } = await import("./source-commands.ts");
      await tellSpec(name);
    });
  program
    .command("check")
    .description("try whether the source can be read")
    .requiredOption("--config <file>", "the configuration")
    .action(async (given: GivenFiles) => {
      const config = readSourceConfig(name, readJson(given.config));
      const { tellCheck } = await import("./source-commands.ts");
      await tellCheck(config);
    });
  program
    .command("discover")
    .description("tell which streams there are")
    .requiredOption("--config <file>", "the configuration")
    .action(async (given: GivenFiles) => {
      const config = readSourceConfig(name, readJson(given.config));
      const { tellCatalog } = await import("./source-commands.ts");
      await tellCatalog(config);
    });
  program
    .command("read")
    .description("read the streams of a configured catalog")
    .requiredOption("--config <file>", "the configuration")
    .requiredOption("--catalog <file>", "the configured catalog")
    .option("--state <file>", "where an earlier read has ended")
    .action(async (given: GivenFiles) => {
      const config = readSourceConfig(name, readJson(given.config));
      const catalog = readJson(given.catalog);
      const state = given.state === undefined ? null : readJson(given.state);
      const { runRead } = await import("./read.ts");
      finish(await runRead({ config, catalog, state }));
    });
  return program;
}

function describeDestination(
  program: Command,
  kind: DestinationExecutable,
  finish: Finish,
): Command {
  program
    .command("spec")
    .description("tell what the configuration may be")
    .action(async () => {
      const { destinationSpecs } = await import("./destination-specs.ts");
      await writeMessage({ type: "SPEC", spec: destinationSpecs[kind] });
    });
  program
    .command("check")
    .description("try whether the destination can be written")
    .requiredOption("--config <file>", "the configuration")
    .action(async (given: GivenFiles) => {
      const { checkDestination } = await import("./destination-specs.ts");
      await writeMessage({
        type: "CONNECTION_STATUS",
        connectionStatus: await checkDestination(kind, readJson(given.config)),
      });
    });
  program
    .command("write")
    .description("write the records of stdin, or of data channels")
    .requiredOption("--config <file>", "the configuration")
    .requiredOption("--catalog <file>", "the configured catalog")
    .action(async (given: GivenFiles) => {
      const { runWrite } = await import("./write.ts");
      finish(
        await runWrite({
          kind,
          config: readJson(given.config),
          catalog: readJson(given.catalog),
        }),
      );
    });
  return program;
}

/** @throws ExtractError USAGE naming the file; its content is never shown */
function readJson(path: string | undefined): unknown {
  if (path === undefined) return null;
  let text: string;
  try {
    if (statSync(path).size > FILE_BYTES_MAX)
      throw new Error(`it has more than ${FILE_BYTES_MAX} bytes`);
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new ExtractError(
      "USAGE",
      `${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      { path },
      { cause },
    );
  }
  try {
    return parseExact(text);
  } catch (cause) {
    // the parser's own words would show what stands there
    throw new ExtractError("USAGE", `${path} is no JSON`, { path }, { cause });
  }
}

/** Libraries that print would break the protocol: what they say goes to stderr. */
function keepStdoutClean(): void {
  for (const method of ["log", "info", "debug"] as const)
    console[method] = (...words: unknown[]) => console.error(...words);
}
