/**
 * Builds `dist/`: one file per process and thread, and chunks of what they share. Resolving and linking some eighty
 * modules costs a process 40 ms of CPU, and a run starts four.
 */
import { readdirSync, readFileSync } from "node:fs";
import { defineConfig } from "rolldown";
import { isolatedDeclarationSync } from "rolldown/experimental";

const entries = [
  "daemon/cli/main",
  "daemon/airbyte/executable",
  "actors/source/main",
  "actors/source/worker",
  "actors/destination/main",
  "actors/destination/worker",
  "actors/destination/page-thread",
  "actors/keeper/main",
  "actors/doctor/main",
  "actors/inline/thread",
  "checkpoint/store/postgres-worker",
  "checkpoint/store/log-worker",
  "library/index",
];

/** What a browser is sent of the inspector; its model is stripped of its types when it is. */
const pages = ["page", "model"].map((name) => `daemon/inspector/${name}`);

/** Of the library, what its callers' compilers read: `library/types.ts` names nothing of what is inside. */
const declared = [
  "library/error",
  "library/index",
  "library/open-source",
  "library/read-table",
  "library/sync",
  "library/types",
];

/** @throws Error for an export whose type is not written down */
function declare(file: string): string {
  const { code, errors } = isolatedDeclarationSync(
    file,
    readFileSync(file, "utf8"),
    {},
  );
  const [error] = errors;
  if (error) throw new Error(`${file}: ${error.message}`);
  return code.replaceAll(/(from "\.[^"]*)\.ts"/g, '$1.js"');
}

export default defineConfig({
  plugins: [
    {
      name: "library-types",
      generateBundle() {
        for (const name of declared)
          this.emitFile({
            type: "asset",
            fileName: `${name}.d.ts`,
            source: declare(`${name}.ts`),
          });
      },
    },
    {
      name: "inspector-page",
      generateBundle() {
        for (const folder of pages)
          for (const file of readdirSync(folder))
            if (/[.](html|css|js|ts|svg)$/.test(file))
              this.emitFile({
                type: "asset",
                fileName: `${folder}/${file}`,
                source: readFileSync(`${folder}/${file}`),
              });
      },
    },
  ],
  input: Object.fromEntries(entries.map((name) => [name, `${name}.ts`])),
  platform: "node",
  // `pg` asks for it and does without
  external: ["pg-native"],
  output: {
    dir: "dist",
    cleanDir: true,
    format: "esm",
    // where a module looks for a process's file, relative to itself, has to hold for its chunk: see `processes.ts`
    entryFileNames: "[name].js",
    chunkFileNames: "chunks/[name]-[hash].js",
  },
});
