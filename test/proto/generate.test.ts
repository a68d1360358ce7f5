import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { generateCodec, protoNames } from "../../proto/generate.ts";

test.for(protoNames)(
  "the committed codec is what `npm run gen` makes of %s.proto",
  async (name) => {
    const { js, dts } = await generateCodec(name);
    const gen = new URL("../../proto/gen/", import.meta.url);
    expect(await readFile(new URL(`${name}.js`, gen), "utf8")).toBe(js);
    expect(await readFile(new URL(`${name}.d.ts`, gen), "utf8")).toBe(dts);
  },
);
