#!/usr/bin/env node
import { launch, load, readVersion } from "./launch.js";

await launch(async () => {
  const argv = process.argv.slice(2);
  if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-V")) {
    process.stdout.write(readVersion() + "\n");
    return;
  }
  const { runCommandLine } = await load("daemon/cli/main");
  await runCommandLine(argv, { readVersion });
});
