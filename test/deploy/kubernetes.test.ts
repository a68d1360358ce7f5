import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { ensurePython } from "../services/python.ts";

/** Carries the schemas of Kubernetes' own API, so that nothing is asked of a cluster. */
const found = ensurePython("kubernetes", ["kubernetes-validate==1.37.0"]);
const manifest = fileURLToPath(
  new URL("../../deploy/kubernetes/millrace.yaml", import.meta.url),
);
/** The oldest and the newest that clusters of this year run. */
const versions = ["1.30", "1.34"];

function validate(version: string, input: string): string {
  if ("reason" in found) throw new Error(found.reason);
  const program = join(found.bin, "kubernetes-validate");
  const args = ["--strict", "-k", version, "-"];
  const { stdout, stderr } = spawnSync(program, args, {
    input,
    encoding: "utf8",
  });
  return stdout + stderr;
}

test.skipIf("reason" in found).for(versions)(
  "the manifest is valid for Kubernetes %s",
  (version) => {
    const text = readFileSync(manifest, "utf8");
    const answer = validate(version, text);
    const documents = parseAllDocuments(text);
    expect(documents).toHaveLength(6);
    expect(answer.match(/^INFO - passed for resource/gm)).toHaveLength(6);
    expect(answer).not.toMatch(/ERROR/);
  },
);

test.skipIf("reason" in found)("a misspelt key is found", () => {
  const text = readFileSync(manifest, "utf8").replace(
    "runAsNonRoot",
    "runAsNonroot",
  );
  expect(validate("1.34", text)).toMatch(/runAsNonroot/);
});
