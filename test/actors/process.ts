/** A child process as its bookkeeper starts it, with its stdout and stderr kept as they came. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { createLineReader, writeLine } from "../../transport/control-lines.ts";
import { repositoryRoot } from "../arrows.ts";

export interface StartedProcess<Fact extends { readonly type: string }> {
  send(order: object): void;
  /** All so far. */
  readonly facts: readonly Fact[];
  /** The first fact of this type, from now or before. */
  fact<Type extends Fact["type"]>(
    type: Type,
  ): Promise<Extract<Fact, { type: Type }>>;
  /** Lets go of the control pipe, as a bookkeeper does that dies. */
  leave(): void;
  /** Its exit code, once it and its output have ended. */
  readonly exited: Promise<number | null>;
  readonly output: { stdout: string; stderr: string };
  [Symbol.asyncDispose](): Promise<void>;
}

export function startProcess<Fact extends { readonly type: string }>(
  role: "source" | "destination" | "keeper",
  env: Readonly<Record<string, string>> = {},
): StartedProcess<Fact> {
  const { MILLRACE_LOG_LEVEL: _, ...inherited } = process.env;
  const child = spawn(
    process.execPath,
    [join(repositoryRoot, "actors", role, "main.ts")],
    {
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      env: { ...inherited, ...env },
    },
  );
  const output = { stdout: "", stderr: "" };
  child.stdout?.setEncoding("utf8");
  child.stderr?.setEncoding("utf8");
  child.stdout?.on("data", (text: string) => (output.stdout += text));
  child.stderr?.on("data", (text: string) => (output.stderr += text));
  const exited = once(child, "close").then(([code]) => code as number | null);
  const control = child.stdio[3] as Duplex;
  control.on("error", () => {});
  const facts: Fact[] = [];
  let wake = (): void => {};
  createLineReader(control, {
    onMessage: (fact) => {
      facts.push(fact as Fact);
      wake();
    },
    onEnd: () => {},
  });
  let isOver = false;
  void exited.then(() => {
    isOver = true;
    wake();
  });
  return {
    send: (order) => writeLine(control, order),
    facts,
    async fact(type) {
      for (;;) {
        const found = facts.find((one) => one.type === type);
        if (found) return found as never;
        if (isOver)
          throw new Error(
            `no ${type}: ${JSON.stringify(facts)} ${output.stderr}`,
          );
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    leave: () => control.destroy(),
    exited,
    output,
    async [Symbol.asyncDispose]() {
      if (!isOver) child.kill("SIGKILL");
      await exited;
    },
  };
}

/** The lines of a text, each parsed: throws where one is not JSON. */
export function parseLines(text: string): Record<string, unknown>[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
