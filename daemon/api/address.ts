/**
 * Where the command line finds the token of a daemon that has drawn its own: a note in the user's state folder says in
 * which file it lies. The note holds no secret.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { readDaemonFile } from "./tokens.ts";

export const DEFAULT_URL = "http://127.0.0.1:7420";

/** Beside the ledger. */
const DAEMON_FILE = "daemon.json";

/** Host and port; one name for this machine. */
function placeOf(url: string): string {
  return new URL(url).host.replace(/^(localhost|\[::1\])(?=:|$)/, "127.0.0.1");
}

/** XDG Base Directory Specification. */
function noteOf(url: string, env: NodeJS.ProcessEnv): string {
  const state = env["XDG_STATE_HOME"] || join(homedir(), ".local", "state");
  const name = placeOf(url).replace(/[^A-Za-z0-9.-]/g, "_");
  return join(state, "millrace", "daemons", name);
}

/** Returns how to forget it. A state folder that cannot be written costs only the convenience. */
export function noteAddress(
  url: string,
  tokenFile: string | null,
  env: NodeJS.ProcessEnv = process.env,
): () => void {
  if (tokenFile === null) return () => {};
  const note = noteOf(url, env);
  try {
    mkdirSync(join(note, ".."), { recursive: true });
    writeFileSync(note, `${tokenFile}\n`, { mode: 0o600 });
  } catch {
    return () => {};
  }
  return () => rmSync(note, { force: true });
}

/** The token for a daemon on this machine; null where none is known to this user. */
export function findToken(
  url: string,
  env: NodeJS.ProcessEnv = process.env,
): string | null {
  let tokenFile: string;
  try {
    tokenFile = readFileSync(noteOf(url, env), "utf8").trim();
  } catch {
    return null;
  }
  const file = readDaemonFile(tokenFile);
  // a token goes to the daemon that has drawn it and to nobody else
  return file !== null && placeOf(file.url) === placeOf(url)
    ? file.token
    : null;
}

/** The address that the daemon of a ledger's folder has left there; null where none has. */
export function readUrlFile(folder: string): string | null {
  return readDaemonFile(join(folder, DAEMON_FILE))?.url ?? null;
}
