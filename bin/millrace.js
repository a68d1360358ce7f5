#!/usr/bin/env node
/**
 * Starts the command line on a Node that can run it. Plain JavaScript without dependencies or recent syntax, because an
 * old Node has to read it far enough to say which one is needed.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import * as nodeModule from "node:module";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const NODE_MAJOR_MIN = 24;
const FORWARDED_SIGNALS = ["SIGTERM", "SIGHUP", "SIGINT"];

/** @param {string} relative to the package's root */
function locate(relative) {
  return fileURLToPath(new URL("../" + relative, import.meta.url));
}

function readVersion() {
  return JSON.parse(readFileSync(locate("package.json"), "utf8")).version;
}

/** Runs this same command under the Node that the repository pins. */
function runUnderPinnedNode(/** @type {string} */ node) {
  const child = spawn(node, process.argv.slice(1), { stdio: "inherit" });
  // A terminal sends Ctrl-C to the child as well; passed on, it would count as the second press.
  const fromTerminal = process.stdin.isTTY || process.stderr.isTTY;
  for (const signal of FORWARDED_SIGNALS) {
    process.on(signal, () => {
      if (signal !== "SIGINT" || !fromTerminal) child.kill(signal);
    });
  }
  child.on("error", (error) => {
    process.stderr.write(`error: cannot start ${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    process.exit(signal ? 128 + constants.signals[signal] : code);
  });
}

async function runHere() {
  const argv = process.argv.slice(2);
  if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-V")) {
    process.stdout.write(readVersion() + "\n");
    return;
  }
  nodeModule.enableCompileCache();
  const built = locate("dist/daemon/cli/main.js");
  const fromSources =
    process.env.MILLRACE_SOURCES === "1" || !existsSync(built);
  const main = new URL(
    fromSources ? "../daemon/cli/main.ts" : "../dist/daemon/cli/main.js",
    import.meta.url,
  );
  const { runCommandLine } = await import(main.href);
  await runCommandLine(argv, { readVersion });
}

if (Number(process.versions.node.split(".")[0]) >= NODE_MAJOR_MIN) {
  await runHere();
} else {
  const pinned = ["node_modules/node/bin/node", "node_modules/.bin/node"]
    .map(locate)
    .find((path) => existsSync(path));
  if (pinned) {
    runUnderPinnedNode(pinned);
  } else {
    process.stderr.write(
      `error: millrace needs Node ${NODE_MAJOR_MIN} or later; this is ${process.version}. ` +
        "Install it from https://nodejs.org, or run `npm install` in the repository to use its own.\n",
    );
    process.exit(2);
  }
}
