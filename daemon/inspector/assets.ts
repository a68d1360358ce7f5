/**
 * The page's files, read once. The model is the same TypeScript that the daemon runs, with its types stripped; the rest
 * is served as it is.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".ts": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

export interface Asset {
  readonly type: string;
  readonly body: Buffer;
  readonly etag: string;
}

/** By path below the page's address: `page/main.js`, `model/chart.ts`. */
export function loadAssets(): ReadonlyMap<string, Asset> {
  const root = findRoot();
  const assets = new Map<string, Asset>();
  for (const folder of ["page", "model"])
    for (const name of readdirSync(join(root, folder))) {
      const type = types[extname(name)];
      if (type === undefined) continue;
      const text = readFileSync(join(root, folder, name), "utf8");
      const body = Buffer.from(name.endsWith(".ts") ? stripTypes(text) : text);
      const hash = createHash("sha256").update(body).digest("base64url");
      assets.set(`${folder}/${name}`, {
        type,
        body,
        etag: `"${hash.slice(0, 22)}"`,
      });
    }
  return assets;
}

/** Node says with every process that this may change one day; here a test would notice. */
function stripTypes(text: string): string {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(text);
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** Beside this module; or, where the code was bundled into `dist/`, in the package's own folder. */
function findRoot(): string {
  const candidates = ["./", "../daemon/inspector/", "../../daemon/inspector/"];
  for (const candidate of candidates) {
    const path = fileURLToPath(new URL(candidate, import.meta.url));
    if (existsSync(join(path, "page", "index.html"))) return path;
  }
  throw new Error("the files of the inspector's page are not installed");
}
