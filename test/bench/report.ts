/** Figures of many rounds, as a table and as a file. */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { repositoryRoot } from "../arrows.ts";
import type { Measurement } from "./measure.ts";

export interface Round extends Measurement {
  readonly contender: string;
  readonly table: string;
  readonly round: number;
  readonly rows: number;
  /** Why the output is wrong, or the command failed; null when all is well. */
  readonly fault: string | null;
}

export function findMedian(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1
    ? upper
    : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Those in which nobody else was at work; dirty ones only where there are no others. */
function chooseRounds(all: readonly Round[]): readonly Round[] {
  const clean = all.filter(({ dirty }) => !dirty);
  return clean.length > 0 ? clean : all;
}

/** @returns null where there is no round of it, or one with wrong output */
export function findMedianWall(
  rounds: readonly Round[],
  name: string,
): number | null {
  const all = rounds.filter(({ contender }) => contender === name);
  if (all.length === 0 || all.some(({ fault }) => fault !== null)) return null;
  return findMedian(chooseRounds(all).map(({ wallSeconds }) => wallSeconds));
}

/** Our processes that move rows, by the name of their script. */
const moverPattern = /actors\/(source|destination)\//;

/** Peak of each process that reads or writes rows, summed; of all processes where they cannot be told apart. */
function sumMoversMb({ processes, peakMb }: Round): number {
  const movers = processes.filter(({ command }) => moverPattern.test(command));
  return movers.length === 0
    ? peakMb
    : movers.reduce((sum, { residentMb }) => sum + residentMb, 0);
}

const cell = (value: number, digits: number) =>
  Number.isFinite(value) ? value.toFixed(digits) : "-";

/** Lines: per contender the medians of its rounds; ratios are to the first contender. */
export function renderRounds(rounds: readonly Round[]): string[] {
  const names = [...new Set(rounds.map(({ contender }) => contender))];
  const width = Math.max(...names.map((name) => name.length));
  const titles = [
    ...["wall s", "(min-max)", "x", "CPU s", "x", "krows/s", "krows/CPU s"],
    ...["server CPU s", "MB read+write", "MB all", "MB out", "dirty"],
  ];
  const lines = [
    `${"".padEnd(width)}  ${titles.map((title) => title.padStart(Math.max(9, title.length))).join("  ")}`,
  ];
  let base: { wall: number; cpu: number } | null = null;
  for (const name of names) {
    const all = rounds.filter(({ contender }) => contender === name);
    const fault = all.find((round) => round.fault !== null)?.fault;
    if (fault !== undefined) {
      lines.push(`${name.padEnd(width)}  no speed: ${fault}`);
      continue;
    }
    const used = chooseRounds(all);
    const dirtyCount = all.filter(({ dirty }) => dirty).length;
    const median = (pick: (round: Round) => number) =>
      findMedian(used.map(pick));
    const wall = median((round) => round.wallSeconds);
    const cpu = median((round) => round.clientCpuSeconds);
    base ??= { wall, cpu };
    const walls = used.map((round) => round.wallSeconds);
    const cells = [
      cell(wall, 2),
      `${cell(Math.min(...walls), 2)}-${cell(Math.max(...walls), 2)}`,
      cell(wall / base.wall, 2),
      cell(cpu, 2),
      cell(cpu / base.cpu, 2),
      cell(
        median((round) => round.rows / round.wallSeconds / 1000),
        0,
      ),
      cell(
        median((round) => round.rows / round.clientCpuSeconds / 1000),
        0,
      ),
      cell(
        median((round) => round.serverCpuSeconds),
        2,
      ),
      cell(median(sumMoversMb), 0),
      cell(
        median((round) => round.peakMb),
        0,
      ),
      cell(
        median((round) => round.outputBytes / 1e6),
        1,
      ),
      `${dirtyCount}/${all.length}`,
    ];
    lines.push(
      `${name.padEnd(width)}  ${cells.map((text, i) => text.padStart(Math.max(9, titles[i]?.length ?? 0))).join("  ")}`,
    );
  }
  return lines;
}

/** What the figures were taken on. */
export function describeMachine(): string {
  const cores = cpus();
  return `${cores.length} x ${cores[0]?.model ?? "unknown CPU"}, Linux ${release()}, Node ${process.versions.node}`;
}

/** Keeps every single figure. @returns the file's path */
export function writeResults(kind: string, content: unknown): string {
  const folder = join(repositoryRoot, ".cache", "bench");
  mkdirSync(folder, { recursive: true });
  const time = new Date().toISOString().replaceAll(":", "").slice(0, 15);
  const path = join(folder, `results-${kind}-${time}.json`);
  const text = { machine: describeMachine(), kind, content };
  writeFileSync(path, `${JSON.stringify(text, null, 1)}\n`);
  return path;
}
