/**
 * Builds `dist/`: one file per process and thread, and chunks of what they share. Resolving and linking some eighty
 * modules costs a process 40 ms of CPU, and a run starts four.
 */
import { defineConfig } from "rolldown";

const entries = [
  "daemon/cli/main",
  "actors/source/main",
  "actors/source/worker",
  "actors/destination/main",
  "actors/destination/worker",
  "actors/keeper/main",
  "checkpoint/store/postgres-worker",
];

export default defineConfig({
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
