import { expect, test } from "vitest";
import { runMillrace } from "./run-millrace.ts";

test("a source alone is checked as one, whether its URL has slashes or not", async () => {
  const { exitCode, stdout } = await runMillrace([
    "check",
    "generator:?columns=id:int&rows=5",
  ]);
  expect(stdout).toBe("ok source: connected, 1 table can be read\n");
  expect(exitCode).toBe(0);
});

test("a folder alone is a destination", async () => {
  const { exitCode, stdout } = await runMillrace(["check", "out"]);
  expect(stdout).toMatch(/^ok destination: .*out \(made by the first sync\)/);
  expect(exitCode).toBe(0);
});
