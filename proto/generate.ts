/**
 * Generates the codecs in proto/gen/ from the `.proto` files (`npm run gen`). They are committed, so that neither a start
 * nor an install needs the generator; a test compares them with what this file makes.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pbjs } from "protobufjs-cli";

const folder = fileURLToPath(new URL(".", import.meta.url));

/** Each is a codec of its own: a child process loads frames only. */
export const protoNames = ["frames", "trigger"] as const;

/**
 * The bundled runtime in one file: importing the codec takes 4.4 ms, with `protobufjs/minimal.js` and its 20 modules
 * 11 ms, in every process and worker. It comes without `long`, so uint64 values are numbers, never objects.
 */
const RUNTIME = "protobufjs/dist/minimal/protobuf.min.js";

const OPTIONS = [
  ["--target", "static-module"],
  ["--wrap", "esm"],
  ["--dependency", RUNTIME],
  ["--force-number"],
  // what only reflection needs; values are checked in transport/frame-codec.ts
  ["--no-create", "--no-verify", "--no-convert", "--no-service"],
  ["--no-typeurl"],
].flat();

export interface GeneratedCodec {
  readonly js: string;
  readonly dts: string;
}

/** Codecs find their messages by a root that all in a process share: one each, else the later would hide the earlier. */
const roots = { frames: "millrace", trigger: "millrace-trigger" } as const;

/** Makes both files as text. Pure but for a temporary folder that pbjs needs for its declarations. */
export async function generateCodec(
  name: (typeof protoNames)[number],
): Promise<GeneratedCodec> {
  const protoPath = join(folder, `${name}.proto`);
  const options = [...OPTIONS, "--root", roots[name]];
  const scratch = await mkdtemp(join(tmpdir(), "millrace-gen-"));
  try {
    // pbjs derives the declarations from the comments that the code is better without
    const codePath = join(scratch, "code.js");
    const commentedPath = join(scratch, "commented.js");
    await runPbjs([...options, "--no-comments", "--out", codePath, protoPath]);
    await runPbjs([...options, "--dts", "--out", commentedPath, protoPath]);
    const dts = await readFile(join(scratch, "commented.d.ts"), "utf8");
    return {
      js: await readFile(codePath, "utf8"),
      dts: dts
        // the bundle has no declarations of its own, and `long` is not used
        .replace(RUNTIME, "protobufjs/minimal.js")
        .replace(/^import Long = require\("long"\);\n/m, ""),
    };
  } finally {
    await rm(scratch, { recursive: true });
  }
}

function runPbjs(args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    pbjs.main(args, (error) => (error ? reject(error) : resolve()));
  });
}

if (import.meta.main) {
  for (const name of protoNames) {
    const { js, dts } = await generateCodec(name);
    await writeFile(join(folder, "gen", `${name}.js`), js);
    await writeFile(join(folder, "gen", `${name}.d.ts`), dts);
  }
}
