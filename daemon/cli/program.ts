/** The commands and their options. What a command does is loaded when it is called: `--help` and typing errors load nothing. */
import { Command } from "commander";
import { addDaemonChoice, describeDaemonCommands } from "./daemon-commands.ts";
import { flag, text, whole } from "./option-kinds.ts";
import { addRunOutputOptions, addSyncOptions, options } from "./options.ts";

export const CAT_ROWS_DEFAULT = 20;
const CAT_ROWS_MAX = 10_000_000;

const exitCodes = `
Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 3 worth retrying, 4 partly failed, 130 interrupted.`;

/**
 * Builds the parser. It throws CommanderError instead of ending the process, and prints no errors itself.
 * `finish` receives the exit code of the command that ran.
 */
export function buildProgram(
  version: () => string,
  finish: (exitCode: number) => void,
): Command {
  const program = new Command("millrace")
    .description(
      "Copies database tables to files at full speed: in partitions, exactly once, resumable.",
    )
    .option("-V, --version", "print the version")
    .on("option:version", () => {
      process.stdout.write(`${version()}\n`);
      throw new VersionPrinted();
    })
    .helpCommand("help [command]", "show the help of a command")
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({ outputError: () => undefined })
    .exitOverride()
    .addHelpText(
      "after",
      `
Examples:
  $ millrace sync postgres://me@localhost/shop ./out
  $ millrace sync postgres://me@localhost/shop ./out --table 'public.order*' --format csv
  $ millrace resume ./out
  $ millrace cat ./out

The password comes from the URL, or from PGPASSWORD.
${exitCodes}`,
    );

  describeSync(program, finish);
  describeResume(program, finish);
  describeDaemon(program, finish, version);
  describeSourceCommands(program, finish);
  describeLedgerCommands(program, finish);
  describeSweep(program, finish);
  describeFileCommands(program, finish);
  describeDaemonCommands(program, finish, addExamples);
  return program;
}

/** Ends parsing after `--version`, as CommanderError does after `--help`. */
export class VersionPrinted extends Error {}

type Finish = (exitCode: number) => void;

function addExamples(command: Command, ...lines: string[]): Command {
  const examples = lines.map((line) => `  $ millrace ${line}`).join("\n");
  const title = lines.length === 1 ? "Example" : "Examples";
  return command.addHelpText("after", `\n${title}:\n${examples}`);
}

function describeSync(program: Command, finish: Finish): void {
  const command = program
    .command("sync")
    .summary("copy tables into a folder")
    .description(
      "Copies tables into a folder, a bucket or a database. An unfinished run of the same sync is resumed.",
    )
    .usage(
      "<source-url> <destination> [options]\n       millrace sync -f <yaml> [name] [options]",
    )
    .argument(
      "[source-url]",
      "postgres://, mysql://, mariadb://, sqlserver:// or generator: URL; with -f: the name of the sync",
    )
    .argument(
      "[destination]",
      "folder, s3://bucket/prefix, or postgres:// URL of the database to write",
    )
    .addOption(options.file());
  addSyncOptions(command);
  addRunOutputOptions(command);
  addExamples(
    command,
    "sync postgres://me@localhost/shop ./out",
    "sync postgres://me@localhost/shop ./out -t orders -t 'sales.*' --compression snappy",
    "sync postgres://me@localhost/shop ./out -t events --mode incremental --cursor id",
    "sync mysql://me@localhost/crm 's3://lake/raw?region=eu-central-1' --format avro",
    "sync postgres://me@localhost/shop postgres://me@warehouse/dwh -t orders --mode dedupe --cursor updated_at",
    "sync -f millrace.yaml shop --dry-run",
  )
    .addHelpText("after", exitCodes)
    .action(async (source, destination, given) => {
      const { runSync } = await import("./commands/sync.ts");
      finish(await runSync(source, destination, given));
    });
}

function describeResume(program: Command, finish: Finish): void {
  const command = program
    .command("resume")
    .summary("go on with an unfinished run")
    .description(
      "Goes on with an unfinished run from its last checkpoint. Without an argument: with the last one of the ledger in this folder or in ./out.",
    )
    .argument(
      "[destination|run-id]",
      "folder of the run, or its id; with --daemon also a queue entry or a sync",
    )
    .addOption(
      text("-d, --destination <folder>", "where a run id is looked up"),
    )
    .addOption(
      text(
        "--source <url>",
        "source URL in place of the recorded one, which has no password; of the same server and database",
      ),
    )
    .addOption(options.ledger())
    .addOption(options.channels())
    .addOption(options.readers())
    .addOption(options.attempts())
    .addOption(options.trace());
  addDaemonChoice(command);
  addRunOutputOptions(command);
  addExamples(
    command,
    "resume ./out",
    "resume r-20260301-0544 --destination ./out",
    "resume shop --daemon",
  )
    .addHelpText("after", exitCodes)
    .action(async (target, given) => {
      const { runResume } = await import("./commands/resume.ts");
      finish(await runResume(target, given));
    });
}

function describeDaemon(
  program: Command,
  finish: Finish,
  version: () => string,
): void {
  const command = program
    .command("daemon")
    .summary("run the syncs of a file by schedule and on demand")
    .description(
      "Runs the syncs of a file when they are due or asked for, until it is stopped. SIGTERM or Ctrl-C: runs checkpoint, then it ends; a second one ends them at once. SIGHUP: the file is read again.",
    )
    .addOption(options.file().makeOptionMandatory())
    .addOption(options.json())
    .addOption(options.logLevel());
  addExamples(command, "daemon -f millrace.yaml")
    .addHelpText("after", exitCodes)
    .action(async (given) => {
      const { runDaemon } = await import("./commands/daemon.ts");
      finish(await runDaemon(given, version()));
    });
}

function describeSourceCommands(program: Command, finish: Finish): void {
  const check = program
    .command("check")
    .summary("try source and destination")
    .description(
      "Tries whether the source can be reached and read, and whether the destination can be written. Nothing is changed.",
    )
    .argument("[source-url]", "with -f: the name of the sync")
    .argument(
      "[destination]",
      "folder, s3://bucket/prefix, or postgres:// URL of the database to write",
    )
    .addOption(options.file())
    .addOption(options.json())
    .addOption(options.logLevel());
  addExamples(
    check,
    "check postgres://me@localhost/shop ./out",
    "check -f millrace.yaml shop",
  ).action(async (source, destination, given) => {
    const { runCheck } = await import("./commands/check.ts");
    finish(await runCheck(source, destination, given));
  });

  const doctor = program
    .command("doctor")
    .summary("say what change data capture lacks")
    .description(
      "Looks at this machine and, where one is named, at a source: what change data capture needs, what is missing, and the commands that mend it. Nothing is changed.",
    )
    .argument("[source-url]", "with -f: the name of the sync")
    .addOption(options.file())
    .addOption(options.table())
    .addOption(options.exclude())
    .addOption(options.json())
    .addOption(options.logLevel());
  addExamples(
    doctor,
    "doctor",
    "doctor postgres://me@localhost/shop -t orders",
    "doctor -f millrace.yaml shop",
  ).action(async (source, given) => {
    const { runDoctor } = await import("./commands/doctor.ts");
    finish(await runDoctor(source, given));
  });

  const discover = program
    .command("discover")
    .summary("list the tables of a source")
    .description(
      "Lists the tables that can be read, with rows, key and columns.",
    )
    .argument(
      "<source-url>",
      "postgres://, mysql://, mariadb://, sqlserver:// or generator: URL",
    )
    .addOption(options.table())
    .addOption(options.exclude())
    .addOption(flag("--columns", "list each table's columns, too"))
    .addOption(options.json())
    .addOption(options.logLevel());
  addExamples(
    discover,
    "discover postgres://me@localhost/shop",
    "discover postgres://me@localhost/shop -t orders --columns",
  ).action(async (source, given) => {
    const { runDiscover } = await import("./commands/discover.ts");
    finish(await runDiscover(source, given));
  });

  const plan = program
    .command("plan")
    .summary("show how tables would be cut")
    .description(
      "Shows the partitions each table would be read in, which way of cutting was chosen, and why. Nothing is moved.",
    )
    .argument(
      "<source-url>",
      "postgres://, mysql://, mariadb://, sqlserver:// or generator: URL",
    )
    .addOption(options.table())
    .addOption(options.exclude())
    .addOption(options.channels())
    .addOption(options.partitionBy())
    .addOption(options.partitionSize())
    .addOption(options.checkpointEvery())
    .addOption(options.json())
    .addOption(options.logLevel());
  addExamples(plan, "plan postgres://me@localhost/shop --table orders").action(
    async (source, given) => {
      const { runPlan } = await import("./commands/plan.ts");
      finish(await runPlan(source, given));
    },
  );
}

function describeLedgerCommands(program: Command, finish: Finish): void {
  const runs = program
    .command("runs")
    .summary("list the runs of a destination")
    .description(
      "Lists the runs that a destination's ledger knows, newest first.",
    )
    .argument("[destination]", "folder (default: this one, or ./out)")
    .addOption(
      whole("-n, --limit <runs>", "at most so many (default: 20)", 1, 1000),
    )
    .addOption(options.ledger())
    .addOption(options.json())
    .addOption(options.logLevel());
  addDaemonChoice(runs);
  addExamples(runs, "runs ./out", "runs --daemon").action(
    async (destination, given) => {
      const { runRuns } = await import("./commands/runs.ts");
      finish(await runRuns(destination, given));
    },
  );

  const state = program
    .command("state")
    .summary("show how far a run has come")
    .description(
      "Shows a run's tables and what of each is durable. Without a run: the last one.",
    )
    .argument("[destination]", "folder (default: this one, or ./out)")
    .argument("[run-id]", "the run, or the beginning of its id")
    .addOption(options.ledger())
    .addOption(flag("--partitions", "list each partition, too"))
    .addOption(flag("--timeline", "list what happened, too"))
    .addOption(options.json())
    .addOption(options.logLevel());
  addExamples(
    state,
    "state ./out",
    "state ./out r-20260301-0544 --partitions",
  ).action(async (destination, run, given) => {
    const { runState } = await import("./commands/state.ts");
    finish(await runState(destination, run, given));
  });
}

function describeSweep(program: Command, finish: Finish): void {
  const sweep = program
    .command("sweep")
    .summary("remove what dead runs have left")
    .description(
      "Removes what runs that will not be gone on with have left: staging tables, uploads that were never completed, half files, and folders of sockets. Only what the ledger names goes, and never of a run that is at work or can be resumed. A daemon does so by itself.",
    )
    .argument(
      "[destination]",
      "folder (default: this one, or ./out); with -f: the name of one sync (default: all)",
    )
    .addOption(options.file())
    .addOption(options.ledger())
    .addOption(flag("--dry-run", "only say what would be removed"))
    .addOption(options.json())
    .addOption(options.logLevel());
  addExamples(sweep, "sweep ./out --dry-run", "sweep -f millrace.yaml").action(
    async (destination, given) => {
      const { runSweep } = await import("./commands/sweep.ts");
      finish(await runSweep(destination, given));
    },
  );
}

function describeFileCommands(program: Command, finish: Finish): void {
  const cat = program
    .command("cat")
    .summary("print rows of a written file")
    .description(
      "Prints rows of a file, or of all data files below a folder, as a table. On S3 by s3://bucket/prefix, with the options of a destination behind a question mark.",
    )
    .argument("<file|folder>", "parquet, avro, csv or jsonl, compressed or not")
    .addOption(
      whole(
        "-n, --limit <rows>",
        `at most so many rows (default: ${CAT_ROWS_DEFAULT})`,
        0,
        CAT_ROWS_MAX,
      ),
    )
    .addOption(options.json())
    .addOption(options.logLevel());
  addExamples(
    cat,
    "cat ./out/public/orders --limit 5",
    "cat ./out --json",
    "cat s3://bucket/lake/public/orders",
  ).action(async (path, given) => {
    const { runCat } = await import("./commands/cat.ts");
    finish(await runCat(path, given));
  });

  const schema = program
    .command("config-schema")
    .summary("print the JSON Schema of millrace.yaml")
    .description(
      "Prints the JSON Schema of the configuration file, for editors.",
    );
  addExamples(schema, "config-schema > millrace.schema.json").action(
    async () => {
      const { runConfigSchema } = await import("./commands/config-schema.ts");
      finish(await runConfigSchema());
    },
  );
}
