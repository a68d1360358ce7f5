import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, vi } from "vitest";
import { test } from "../fixtures/kafka.ts";

const lone = fileURLToPath(new URL("kafka-lone-server.ts", import.meta.url));

test("a test has topics of its own, and reads what it sent", async ({
  topics,
}) => {
  await topics.send("one", { key: "k", value: "two" });
  const told = await topics.read(topics.topic);
  expect(told.map(({ value }) => value).toSorted()).toEqual(["one", "two"]);
  expect(await topics.read(topics.resultTopic)).toEqual([]);
  expect(await topics.committed()).toEqual([-1, -1, -1, -1]);
});

test.skipIf(process.platform !== "linux")(
  "a broker ends with the process that started it, even by SIGKILL",
  { timeout: 120_000 },
  async ({ topics, skip }) => {
    if (topics.folder === null) return skip("the broker is not ours");
    const starter = spawn(process.execPath, [lone], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(starter.stdout, "data")) as [Buffer];
    const [pid = "", folder = "/"] = line.toString().trim().split(" ");
    expect(() => process.kill(Number(pid), 0)).not.toThrow();
    starter.kill("SIGKILL");
    await vi.waitFor(
      () => {
        expect(() => process.kill(Number(pid), 0)).toThrow();
        expect(existsSync(folder)).toBe(false);
      },
      { timeout: 30_000 },
    );
  },
);
