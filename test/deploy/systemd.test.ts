import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const unit = fileURLToPath(
  new URL("../../deploy/systemd/millrace.service", import.meta.url),
);
const analyze = "/usr/bin/systemd-analyze";

function verify(text: string): string {
  const path = join(mkdtempSync(join(tmpdir(), "unit-")), "millrace.service");
  writeFileSync(path, text);
  const { stderr } = spawnSync(analyze, ["verify", "--man=no", path], {
    encoding: "utf8",
  });
  return stderr
    .split("\n")
    .filter((line) => line.includes("millrace.service"))
    .join("\n");
}

test.skipIf(!existsSync(analyze))("systemd takes the unit file", () => {
  expect(verify(readFileSync(unit, "utf8"))).toBe("");
});

test.skipIf(!existsSync(analyze))("a misspelt key is found", () => {
  const text = readFileSync(unit, "utf8").replace("KillMode", "Killmode");
  expect(verify(text)).toMatch(/Killmode/);
});
