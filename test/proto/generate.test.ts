import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { generateCodec } from "../../proto/generate.ts";

test("the committed codec is what `npm run gen` makes of frames.proto", async () => {
  const { js, dts } = await generateCodec();
  const gen = new URL("../../proto/gen/", import.meta.url);
  expect(await readFile(new URL("frames.js", gen), "utf8")).toBe(js);
  expect(await readFile(new URL("frames.d.ts", gen), "utf8")).toBe(dts);
});
