import { describe, expect, test } from "vitest";
import { countChannels } from "../../../actors/source/channels-needed.ts";
import type {
  DiscoveredStream,
  LeafRelation,
} from "../../../connectors/sources/source.ts";

const MIB = 1024 * 1024;
const PAGES_PER_MIB = 64;
const settings = {
  channelsMax: 8,
  readers: null,
  partitionBytesMin: 32 * MIB,
  url: "mysql://reader@db.example.net/shop",
};

function table(
  pages: number,
  rowEstimate: number,
  relationKind: DiscoveredStream["relationKind"] = "table",
): Pick<DiscoveredStream, "relationKind" | "leaves"> {
  const leaf: LeafRelation = {
    ...{ oid: 1, schema: "shop", name: "orders", only: false, heap: false },
    ...{ fileNode: 0, pages, rowEstimate },
  };
  return { relationKind, leaves: [leaf] };
}

const tables = (count: number, one: ReturnType<typeof table>) =>
  Array.from({ length: count }, () => one);

describe("channels that join a snapshot which none can join later", () => {
  test.each<[string, ReturnType<typeof table>[], number]>([
    ["no table", [], 1],
    ["an empty table", [table(0, 0)], 1],
    ["one row", [table(1, 1)], 1],
    ["twenty tables of one row", tables(20, table(1, 1)), 1],
    [
      "as much as one reads before a second is tried",
      [table(126 * PAGES_PER_MIB, 1e6)],
      1,
    ],
    ["a little more", [table(127 * PAGES_PER_MIB, 1e6)], 2],
    ["three times that", [table(383 * PAGES_PER_MIB, 1e6)], 3],
    ["ten times that", [table(1280 * PAGES_PER_MIB, 1e7)], 5],
    ["more than all can read", [table(300_000, 1e7)], 8],
    ["a thousand tables of one row", tables(1000, table(1, 1)), 4],
    ["a view, which one reader reads", [table(0, -1, "view")], 1],
    ["a table of which nothing is known", [table(0, -1)], 8],
    ["a size from before most rows came", [table(1, 1_000_000)], 8],
    ["one of these among small ones", [table(1, 1), table(0, 5000)], 8],
  ])("%s", (_, streams, expected) => {
    expect(countChannels(streams, settings)).toBe(expected);
  });

  test("readers that begin at once are given a channel for each smallest partition", () => {
    const streams = [table(62 * PAGES_PER_MIB, 1e6)];
    expect(countChannels(streams, { ...settings, readers: 4 })).toBe(2);
  });

  test.each([
    "mysql://reader@localhost:3307/shop",
    "mysql://127.0.0.1/shop",
    "mysql://[::1]/shop",
    "mysql:///shop?socket=/run/mysqld.sock",
    "sqlserver://sa@127.0.0.2:1433/shop",
  ])("a server on this machine, %s, leaves them less to gain", (url) => {
    const count = (mib: number): number =>
      countChannels([table(mib * PAGES_PER_MIB, 1e7)], { ...settings, url });
    expect([900, 1016, 3064, 100_000].map(count)).toEqual([1, 2, 3, 8]);
  });

  test("no more than partitions", () => {
    const streams = [table(1280 * PAGES_PER_MIB, 1e7)];
    const partitionBytesMin = 1024 * MIB;
    expect(countChannels(streams, { ...settings, partitionBytesMin })).toBe(2);
  });

  test("none for a process that is only asked about its source", () => {
    const streams = [table(0, -1)];
    expect(countChannels(streams, { ...settings, channelsMax: 0 })).toBe(0);
    expect(countChannels([], { ...settings, channelsMax: 0 })).toBe(0);
  });
});
