/**
 * Starts a command on a Node that can run it. Plain JavaScript without dependencies or recent syntax, because an old Node
 * has to read it far enough to say which one is needed.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import * as nodeModule from "node:module";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const NODE_MAJOR_MIN = 24;
const FORWARDED_SIGNALS = ["SIGTERM", "SIGHUP", "SIGINT"];

/** @param {string} relative to the package's root */
function locate(relative) {
  return fileURLToPath(new URL("../" + relative, import.meta.url));
}

export function readVersion() {
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

/**
 * Code is kept compiled, for this process and those that it starts. What is kept is what the first process that ends had
 * run of it, and stays so: hence a folder for each command, since after `--help` a `sync` would find little, and none of a
 * first run that failed. A sync of one row takes 0.46 s with it, and 0.55 s with what another command had left.
 */
function keepCompiled() {
  const [command = ""] = process.argv.slice(2);
  const name = /^[a-z]{1,20}$/.test(command) ? command : "other";
  const user = process.getuid ? process.getuid() : 0;
  const folder = join(
    tmpdir(),
    "node-compile-cache",
    `millrace-${user}-${name}`,
  );
  const isNew = !existsSync(folder);
  nodeModule.enableCompileCache(folder);
  process.on("exit", (code) => {
    if (isNew && code !== 0) rmSync(folder, { recursive: true, force: true });
  });
}

/** Loads a module of ours: as it was built, or from its source. */
export function load(/** @type {string} without its ending */ name) {
  keepCompiled();
  const fromSources =
    process.env.MILLRACE_SOURCES === "1" ||
    !existsSync(locate("dist/" + name + ".js"));
  const file = fromSources ? "../" + name + ".ts" : "../dist/" + name + ".js";
  return import(new URL(file, import.meta.url).href);
}

/** @param {() => Promise<unknown>} runHere */
export async function launch(runHere) {
  if (Number(process.versions.node.split(".")[0]) >= NODE_MAJOR_MIN) {
    await runHere();
    return;
  }
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
