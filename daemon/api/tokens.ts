/** The tokens that the API takes. Only their hashes are kept, and comparing takes as long whatever is compared. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import type { TokenSettings } from "../config-daemon.ts";
import type { Caller } from "./roles.ts";

/** As the configuration asks of those that it names: guessing over HTTP finds none of so many characters. */
const TOKEN_LENGTH_MIN = 16;
const TOKEN_BYTES = 32;
const FILE_BYTES_MAX = 4096;
const OWNER_ONLY = 0o600;

export class TokenBook {
  readonly #entries: readonly { caller: Caller; hash: Buffer }[];

  constructor(tokens: readonly TokenSettings[]) {
    this.#entries = tokens.map(({ name, role, token }) => ({
      caller: { name, role },
      hash: hashToken(token),
    }));
  }

  /** All entries are compared, so that the time tells neither how many match nor where. */
  find(token: string): Caller | null {
    const hash = hashToken(token);
    let found: Caller | null = null;
    for (const entry of this.#entries)
      if (timingSafeEqual(entry.hash, hash)) found = entry.caller;
    return found;
  }
}

function hashToken(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** What a daemon without configured tokens leaves for the command line of the same user. */
export interface DaemonFile {
  readonly url: string;
  readonly token: string;
}

/** The token of an earlier start is kept, if nobody else could have read or put it there; else a new one is drawn. */
export function drawToken(path: string): string {
  return (
    readDaemonFile(path)?.token ??
    randomBytes(TOKEN_BYTES).toString("base64url")
  );
}

/** Readable by its owner from the first byte on, and whole whenever it is seen. */
export function writeDaemonFile(path: string, content: DaemonFile): void {
  mkdirSync(dirname(path), { recursive: true });
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  writeFileSync(draft, `${JSON.stringify(content)}\n`, {
    mode: OWNER_ONLY,
    flag: "wx",
  });
  // the umask takes bits away; it never gives the group any, but the owner has to have both
  chmodSync(draft, OWNER_ONLY);
  renameSync(draft, path);
}

/** Null where there is none, it is damaged, or others than this user could have written or read it. */
export function readDaemonFile(path: string): DaemonFile | null {
  try {
    const { uid, mode, size } = lstatSync(path);
    if (uid !== process.getuid?.() || (mode & 0o077) !== 0) return null;
    if (size > FILE_BYTES_MAX) return null;
    const content: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof content !== "object" || content === null) return null;
    const { url, token } = content as Partial<DaemonFile>;
    if (typeof url !== "string" || typeof token !== "string") return null;
    return token.length >= TOKEN_LENGTH_MIN ? { url, token } : null;
  } catch {
    return null;
  }
}
