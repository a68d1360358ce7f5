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
      [table(62 * PAGES_PER_MIB, 1e6)],
      1,
    ],
    ["twice that", [table(128 * PAGES_PER_MIB, 1e6)], 3],
    ["more than all can read", [table(100_000, 1e7)], 8],
    ["a thousand tables of one row", tables(1000, table(1, 1)), 8],
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

  test("none for a process that is only asked about its source", () => {
    const streams = [table(0, -1)];
    expect(countChannels(streams, { ...settings, channelsMax: 0 })).toBe(0);
    expect(countChannels([], { ...settings, channelsMax: 0 })).toBe(0);
  });
});
