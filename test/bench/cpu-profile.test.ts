import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { addProfile, createLocator, createShares } from "./cpu-profile.ts";

const node = (
  id: number,
  functionName: string,
  url: string,
  children: number[] = [],
  lineNumber = 1,
) => ({
  id,
  callFrame: { functionName, url, lineNumber, columnNumber: 0 },
  children,
});

test("a sample is the control plane's by what its stack holds, and somebody's by its highest own frame", () => {
  const shares = createShares();
  addProfile(
    shares,
    {
      nodes: [
        node(1, "(root)", "", [2, 3, 7, 8, 10]),
        node(2, "(idle)", ""),
        node(3, "onRead", "file:///x/connectors/channels/rows.ts", [4]),
        node(4, "copy", ""),
        node(5, "send", "file:///x/node_modules/xstate/dist/xstate.js", [6]),
        node(6, "assign", "file:///x/actors/source/reader.machine.ts"),
        node(7, "onFact", "file:///x/actors/source/main.ts", [5]),
        node(8, "record", "file:///x/checkpoint/store/ledger.ts", [9]),
        node(9, "fsync", "node:fs"),
        node(10, "", "file:///x/actors/source/main.ts", [11], 0),
        node(11, "open", "file:///x/daemon/open.ts"),
      ],
      samples: [2, 4, 4, 6, 5, 7, 9, 10, 11],
    },
    ({ url }) => url,
  );
  expect(shares).toEqual({
    busy: 8,
    control: 4,
    byPlane: { "actors/": 3, xstate: 2, "checkpoint/": 1 },
    byOwner: { machines: 1, xstate: 1, "mains and workers": 1, ledger: 1 },
    busyByOwner: {
      connectors: 2,
      machines: 1,
      xstate: 1,
      "mains and workers": 1,
      ledger: 1,
      "loading modules": 1,
      bookkeeper: 1,
    },
  });
});

test("a function of a bundle is found in the file it was written in", async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-maps-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const bundle = join(folder, "main.js");
  // line 1 of the bundle is line 1 of the one source, line 2 of the other
  const map = {
    version: 3,
    file: "main.js",
    sources: ["../actors/run.ts", "../checkpoint/state.ts"],
    names: [],
    mappings: "AAAA;ACAA",
  };
  writeFileSync(`${bundle}.map`, JSON.stringify(map));
  const { href } = pathToFileURL(bundle);
  const locate = createLocator();
  const at = (url: string, lineNumber: number) =>
    locate({ functionName: "f", url, lineNumber, columnNumber: 5 });
  expect(at(href, 0)).toBe(new URL("../actors/run.ts", href).href);
  expect(at(href, 1)).toBe(new URL("../checkpoint/state.ts", href).href);
  expect(at("node:fs", 0)).toBe("node:fs");
  expect(at("file:///nowhere/other.js", 0)).toBe("file:///nowhere/other.js");
});
