import { expect, test } from "vitest";
import { nearestNames } from "../../proto/nearest.ts";

test.for([
  { name: "ordrs", candidates: ["orders", "customers"], found: ["orders"] },
  {
    name: "Orders",
    candidates: ["old_orders", "orders"],
    found: ["orders"],
  },
  { name: "odrers", candidates: ["orders"], found: ["orders"] },
  {
    name: "public.ordrs",
    candidates: ["public.orders", "audit.orders"],
    found: ["public.orders"],
  },
  { name: "line", candidates: ["lineitem", "users"], found: ["lineitem"] },
  { name: "xyzzy", candidates: ["orders", "users"], found: [] },
  { name: "a", candidates: ["b", "ab", "bcd"], found: ["ab", "b"] },
  { name: "", candidates: ["orders"], found: [] },
])("$name is near $found", ({ name, candidates, found }) => {
  expect(nearestNames(name, candidates)).toEqual(found);
});

test("at most three, each once, the nearest first", () => {
  expect(
    nearestNames("item3", [
      "item44",
      "item2",
      "item1",
      "item",
      "item1",
      "item45",
    ]),
  ).toEqual(["item", "item1", "item2"]);
  const candidates = ["item12", "item2", "item1", "item1"];
  expect(nearestNames("item1", candidates)).toEqual(["item1"]);
});

test("names of any length are compared in bounded time", () => {
  const long = "n".repeat(1e6);
  expect(nearestNames(long, [`${long}x`, "orders"])).toEqual([`${long}x`]);
});
