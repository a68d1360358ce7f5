import fc from "fast-check";
import { expect, test } from "vitest";
import { matchesPattern } from "../../proto/pattern.ts";

test.for([
  ["orders", "orders", true],
  ["orders", "Orders", false],
  ["order*", "order_lines", true],
  ["order*", "order", true],
  ["*", "", true],
  ["*_log", "audit_log", true],
  ["*_log", "audit_logs", false],
  ["a*b*c", "a-b-b-c", true],
  ["a*b*c", "a-c-b", false],
  ["old.*", "old.orders", true],
  ["a.c", "abc", false],
  ["[ab]+", "a", false],
  ["", "", true],
  ["", "a", false],
] as const)("%s against %s: %s", ([pattern, text, matches]) => {
  expect(matchesPattern(pattern, text)).toBe(matches);
});

const letters = fc.string({
  unit: fc.constantFrom("a", "b", "."),
  maxLength: 8,
});

test("a pattern means what the regular expression with .* does", () =>
  fc.assert(
    fc.property(
      fc.array(letters, { minLength: 1, maxLength: 5 }),
      letters,
      (parts, text) => {
        const escaped = parts.map((part) => part.replaceAll(".", "\\."));
        const regular = new RegExp(`^${escaped.join(".*")}$`);
        expect(matchesPattern(parts.join("*"), text)).toBe(regular.test(text));
      },
    ),
  ));

test("many stars against a long name end soon", () => {
  const pattern = `${"*a".repeat(60)}b`;
  expect(matchesPattern(pattern, "a".repeat(5_000))).toBe(false);
});
