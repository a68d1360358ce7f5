#!/usr/bin/env node
import { launch, load } from "./launch.js";

await launch(async () => {
  const { runExecutable } = await load("daemon/airbyte/executable");
  await runExecutable("source-mssql", process.argv.slice(2));
});
