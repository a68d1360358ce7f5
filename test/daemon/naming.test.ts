import { expect, test } from "vitest";
import { checkNames, nameAtDestination } from "../../daemon/naming.ts";

const orders = { namespace: "public", name: "orders" };

test.for([
  { namespace: "{namespace}", streamPrefix: "", as: ["public", "orders"] },
  { namespace: "raw", streamPrefix: "", as: ["raw", "orders"] },
  {
    namespace: "raw_{namespace}",
    streamPrefix: "shop_",
    as: ["raw_public", "shop_orders"],
  },
])("$namespace and $streamPrefix make $as", ({ as, ...rule }) => {
  expect(Object.values(nameAtDestination(rule, orders))).toEqual(as);
});

test("a name with signs of its own is taken as it is", () => {
  const odd = { namespace: "$&", name: "{namespace}" };
  expect(
    nameAtDestination({ namespace: "x_{namespace}", streamPrefix: "" }, odd),
  ).toEqual({ namespace: "x_$&", name: "{namespace}" });
});

test("two streams under one name are refused, and both are named", () => {
  const rule = { namespace: "raw", streamPrefix: "" };
  const other = { namespace: "sales", name: "orders" };
  expect(() => checkNames(rule, [orders])).not.toThrow();
  expect(() => checkNames(rule, [orders, other])).toThrow(
    /public\.orders and sales\.orders would both be written as raw\.orders/,
  );
});
