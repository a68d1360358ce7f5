import { isAbsolute, relative } from "node:path";

/** The path as a person in the current folder would type it, when that is shorter; a URL or a table as it is. */
export function shortenPath(path: string, cwd: string = process.cwd()): string {
  if (!isAbsolute(path)) return path;
  const below = relative(cwd, path);
  if (below === "") return ".";
  return below.startsWith("..") || isAbsolute(below) ? path : below;
}

/** The path as one word of a shell. */
export function quotePath(path: string): string {
  const short = shortenPath(path);
  if (/^[\w./@%+=:,-]+$/.test(short)) {
    return short.startsWith("-") ? `./${short}` : short;
  }
  return `'${short.replaceAll("'", "'\\''")}'`;
}
