import { expect, test } from "vitest";
import { readSettings } from "../../../../connectors/sources/airbyte/config.ts";
import {
  parseSourceUrl,
  putPassword,
  redactUrl,
  removePassword,
  toAirbyteUrl,
} from "../../../../connectors/sources/airbyte/url.ts";

const settings = {
  command: ["python3", "a b.py"],
  config: { key: "hunter2", rows: 3 },
  env: { TOKEN: "hunter2" },
  architecture: "socket",
} as const;
const url = toAirbyteUrl({ ...settings, command: [...settings.command] });

test("settings come back from their URL", () => {
  expect(readSettings(url)).toEqual(settings);
  expect(
    readSettings('airbyte:?command=python3 x.py&config={"rows":3}'),
  ).toEqual({ command: ["python3", "x.py"], config: { rows: 3 } });
});

test("what is shown and kept holds no secret, and is the same source", () => {
  for (const kept of [redactUrl(url), removePassword(url)]) {
    expect(decodeURIComponent(kept)).not.toContain("hunter2");
    expect(parseSourceUrl(kept)).toEqual(parseSourceUrl(url));
    expect(() => readSettings(kept)).toThrow(/not kept in the ledger/);
  }
  const again = putPassword(removePassword(url), '{"key":"hunter2","rows":3}');
  expect(readSettings(again).config).toEqual(settings.config);
  expect(parseSourceUrl(again)).toEqual(parseSourceUrl(url));
});

test("another configuration is another source", () => {
  const other = toAirbyteUrl({
    command: [...settings.command],
    config: { key: "hunter2", rows: 4 },
  });
  expect(parseSourceUrl(other)).not.toEqual(parseSourceUrl(url));
});

test.for([
  ["airbyte:", /one of them/],
  ["airbyte:?command=x&image=y", /one of them/],
  ["airbyte:?command=x&command=y", /twice/],
  ["airbyte:?command=x&sockets=0", /sockets/],
  ["airbyte:?command=x&colour=red", /colour/],
  ["airbyte://host?command=x", /is written/],
] as const)("%s is refused", ([wrong, reason]) => {
  expect(() => readSettings(wrong)).toThrow(reason);
});
