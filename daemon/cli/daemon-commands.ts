/** The commands that speak to a daemon, and the options with which all of them name it. */
import { type Command } from "commander";
import { flag, list, text, whole } from "./option-kinds.ts";
import { options } from "./options.ts";

const ORDERS = {
  pause: {
    summary: "pause a run or a sync of a daemon",
    description:
      "Lets a run stop at its next checkpoint until it is resumed. Of a sync: begins no more runs of it.",
    example: "pause r-20260301-054406-3f9a",
  },
  cancel: {
    summary: "end a run of a daemon, or take it out of the queue",
    description:
      "Ends a run for good; what is committed stays. Of a sync: its runs at work.",
    example: "cancel q-42",
  },
  retry: {
    summary: "queue a failed run of a daemon again",
    description:
      "Queues a failed run again: it goes on behind its last checkpoint. Of a sync: its last run.",
    example: "retry shop",
  },
  replay: {
    summary: "run a past run of a daemon once more",
    description:
      "Runs a past run again, from its recorded request and plan, as a new run. Of a sync: its last run.",
    example: "replay r-20260301-054406-3f9a",
  },
} as const;

const daemonHelp =
  "address of the daemon (default: MILLRACE_DAEMON, the one of this folder, or 127.0.0.1:7420)";

/** For commands that only make sense with a daemon. */
function addDaemonOptions(command: Command): Command {
  return command
    .addOption(text("--daemon <url>", daemonHelp))
    .addOption(tokenOption());
}

/** For commands that also work without one: `--daemon` alone means the usual one. */
export function addDaemonChoice(command: Command): Command {
  return command
    .addOption(
      flag(
        "--daemon [url]",
        `ask a daemon; ${daemonHelp.replace("address of the daemon ", "")}`,
      ),
    )
    .addOption(tokenOption());
}

function tokenOption() {
  return text(
    "--token <token>",
    "token for the daemon (default: MILLRACE_TOKEN, or that of a daemon of this user)",
  );
}

export function describeDaemonCommands(
  program: Command,
  finish: (exitCode: number) => void,
  addExamples: (command: Command, ...lines: string[]) => Command,
): void {
  const trigger = program
    .command("trigger")
    .summary("have a daemon run a sync")
    .description(
      "Queues a run of a sync. Once this returns, the run is recorded and is not lost.",
    )
    .argument("<sync>", "name of the sync in the daemon's configuration")
    .addOption(
      list(
        "-s, --stream <pattern>",
        "only these tables: table, schema.table, * as wildcard; repeatable",
      ),
    )
    .addOption(
      text("--key <key>", "triggers with the same key are one while it waits"),
    )
    .addOption(flag("--wait", "wait for its end, and end with its exit code"));
  addDaemonOptions(trigger);
  addExamples(
    trigger
      .addOption(flag("-q, --quiet", "only the result"))
      .addOption(options.json())
      .addOption(options.logLevel()),
    "trigger shop",
    "trigger shop --stream public.orders --key orders --wait",
  ).action(async (sync, given) => {
    const { runTrigger } = await import("./commands/trigger.ts");
    finish(await runTrigger(sync, given));
  });

  for (const [order, { summary, description, example }] of Object.entries(
    ORDERS,
  )) {
    const command = program
      .command(order)
      .summary(summary)
      .description(description)
      .argument("<run|sync>", "id of a run or queue entry, or name of a sync");
    addDaemonOptions(command);
    addExamples(
      command.addOption(options.json()).addOption(options.logLevel()),
      example,
    ).action(async (target, given) => {
      const { runOrder } = await import("./commands/order.ts");
      finish(await runOrder(order as keyof typeof ORDERS, target, given));
    });
  }

  const inspect = program
    .command("inspect")
    .summary("show the actors of a run, live")
    .description(
      "Shows the streams, sockets and actors of a run at work in a daemon, drawn again as they change; of a run that is over, or recorded with --trace, how they stood at its end.",
    )
    .argument("[run]", "run id or its beginning (default: the newest at work)")
    .addOption(
      text("--trace <file>", "a file that `sync --trace` wrote; no daemon"),
    )
    .addOption(flag("--once", "print it once and leave"))
    .addOption(
      flag("--url", "print the address of the page, with its token, and leave"),
    )
    .addOption(flag("-a, --all", "actors that are over, too"));
  addDaemonOptions(inspect);
  addExamples(
    inspect.addOption(options.json()).addOption(options.logLevel()),
    "inspect",
    "inspect --url",
    "inspect --trace run.jsonl",
  ).action(async (run, given) => {
    const { runInspect } = await import("./commands/inspect.ts");
    finish(await runInspect(run, given));
  });

  const syncs = program
    .command("syncs")
    .summary("list the syncs of a daemon, and how they fare")
    .description(
      "Lists the syncs of a daemon: their state, when they are due, their last run. Of one sync: also how often it and its streams ran and succeeded, and what it waits for.",
    )
    .argument("[sync]", "name of a sync in the daemon's configuration")
    .addOption(
      whole("--days <days>", "days that are counted (default: 30)", 1, 400),
    );
  addDaemonOptions(syncs);
  addExamples(
    syncs.addOption(options.json()).addOption(options.logLevel()),
    "syncs",
    "syncs shop --days 7",
  ).action(async (sync, given) => {
    const { runSyncs } = await import("./commands/syncs.ts");
    finish(await runSyncs(sync, given));
  });

  const backfill = program
    .command("backfill")
    .summary("have a daemon copy one stream of a sync anew")
    .description(
      "Forgets what is known of the stream and queues a run of it alone: its whole copy takes the place of the one that is there. For a new column, whose values older rows lack.",
    )
    .argument("<sync>", "name of the sync in the daemon's configuration")
    .argument("<stream>", "table or schema.table");
  addDaemonOptions(backfill);
  addExamples(
    backfill.addOption(options.json()).addOption(options.logLevel()),
    "backfill shop public.orders",
  ).action(async (sync, stream, given) => {
    const { runBackfill } = await import("./commands/syncs.ts");
    finish(await runBackfill(sync, stream, given));
  });

  const logs = program
    .command("logs")
    .summary("show what happened in a run or a sync of a daemon")
    .description(
      "Shows the timeline of a run; of a sync, its newest runs, what they found its tables to have become, pauses and resets.",
    )
    .argument("<run|sync>", "id of a run or queue entry, or name of a sync")
    .addOption(flag("-f, --follow", "go on with what happens, until its end"));
  addDaemonOptions(logs);
  addExamples(
    logs.addOption(options.json()).addOption(options.logLevel()),
    "logs r-20260301-054406-3f9a --follow",
    "logs shop",
  ).action(async (run, given) => {
    const { runLogs } = await import("./commands/logs.ts");
    finish(await runLogs(run, given));
  });
}
