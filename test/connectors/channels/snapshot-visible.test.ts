import { expect, test } from "vitest";
import { readVisible } from "../../../connectors/channels/snapshot-visible.ts";

test.for([
  { snapshot: null, shown: [], hidden: ["5"] },
  { snapshot: "10:10:", shown: ["9", "3"], hidden: ["10", "11"] },
  {
    snapshot: "10:20:10,15",
    shown: ["9", "11", "19"],
    hidden: ["10", "15", "20"],
  },
  {
    snapshot: "4294967290:4294967300:4294967291",
    shown: ["4294967290", "4294967295", "0", "3"],
    hidden: ["4294967291", "4", "100"],
  },
  {
    snapshot: "8589934600:8589934600:",
    shown: ["7", "4294967290"],
    hidden: ["8", "9"],
  },
])("$snapshot shows $shown and not $hidden", ({ snapshot, shown, hidden }) => {
  const isVisible = readVisible(snapshot);
  expect(shown.filter((one) => !isVisible(one))).toEqual([]);
  expect(hidden.filter((one) => isVisible(one))).toEqual([]);
  expect(isVisible(null)).toBe(false);
});

test("what is no snapshot is refused", () => {
  expect(() => readVisible("10:x:")).toThrow(
    expect.objectContaining({ code: "STATE_INCOMPATIBLE" }),
  );
});
