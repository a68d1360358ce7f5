/**
 * Builds `dist/`: one file per process and thread, and chunks of what they share. Resolving and linking some eighty
 * modules costs a process 40 ms of CPU, and a run starts four.
 */
import { readdirSync, readFileSync } from "node:fs";
import { defineConfig } from "rolldown";

const entries = [
  "daemon/cli/main",
  "actors/source/main",
  "actors/source/worker",
  "actors/destination/main",
  "actors/destination/worker",
  "actors/keeper/main",
  "actors/doctor/main",
  "actors/inline/thread",
  "checkpoint/store/postgres-worker",
  "checkpoint/store/log-worker",
];

/** What a browser is sent of the inspector; its model is stripped of its types when it is. */
const pages = ["page", "model"].map((name) => `daemon/inspector/${name}`);

export default defineConfig({
  plugins: [
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
