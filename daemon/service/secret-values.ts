/** All values of a configuration that no answer, log line or message may hold. */
import type { MillraceConfig } from "../config.ts";

/** Members whose text is a secret, wherever they stand. */
const secretMembers = new Set([
  "token",
  "password",
  "salt",
  "key",
  "secretAccessKey",
  "sessionToken",
]);

export function listSecretValues({
  syncs,
  daemon,
  ledgerPath,
  hooks,
}: MillraceConfig): readonly string[] {
  const found = new Set<string>();
  collect([...syncs.values()], found);
  collect(daemon, found);
  collect(ledgerPath, found);
  for (const { target } of hooks.values()) {
    if (target.kind === "command") continue;
    collect(target.url, found);
    for (const value of Object.values(target.headers)) found.add(value);
  }
  return [...found];
}

function collect(value: unknown, found: Set<string>): void {
  if (typeof value === "string") collectPassword(value, found);
  if (typeof value !== "object" || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    if (secretMembers.has(name) && typeof member === "string")
      found.add(member);
    else collect(member, found);
  }
}

/** Of a URL, as it is and as it is written there. */
function collectPassword(text: string, found: Set<string>): void {
  const written = /^[a-z][a-z0-9+.-]*:\/\/[^/@]*:([^/]*)@/i.exec(text)?.[1];
  if (written === undefined || written === "") return;
  found.add(written);
  try {
    found.add(decodeURIComponent(written));
  } catch {
    // no percent-encoding: it stands as it is
  }
}
