import fc from "fast-check";
import { expect, test } from "vitest";
import {
  checkScope,
  narrowRequest,
  readScope,
  uniteScopes,
  wholeScope,
  writeScope,
} from "../../../daemon/service/scope.ts";
import type { KeyRange, RunScope } from "../../../daemon/service/types.ts";
import { buildRequest } from "../../../daemon/config-request.ts";
import { ExtractError } from "../../../proto/error.ts";

const range = (over: Partial<KeyRange> = {}): KeyRange => ({
  stream: "orders",
  column: "id",
  from: "1",
  until: "9",
  ...over,
});
const scope = (over: Partial<RunScope>): RunScope => ({
  ...wholeScope,
  ...over,
});

const append = { mode: "full-refresh-append", cursor: null } as const;
const overwrite = { mode: "full-refresh-overwrite", cursor: null } as const;
const incremental = { mode: "incremental-append", cursor: "id" } as const;
const logged = { mode: "cdc", cursor: null } as const;

test.for([
  { given: scope({}), request: overwrite, fault: null },
  { given: scope({ streams: ["a"] }), request: overwrite, fault: null },
  { given: scope({}), request: logged, fault: null },
  {
    given: scope({ streams: ["a"] }),
    request: logged,
    fault: "the log is one for all",
  },
  {
    given: scope({ ranges: [range()] }),
    request: logged,
    fault: "the log is one for all",
  },
  { given: scope({ ranges: [range()] }), request: append, fault: null },
  {
    given: scope({ window: { from: "1", to: null } }),
    request: incremental,
    fault: null,
  },
  {
    given: scope({ ranges: [range()] }),
    request: overwrite,
    fault: "would replace the table",
  },
  {
    given: scope({ window: { from: "1", to: "2" } }),
    request: append,
    fault: "a window is of a cursor",
  },
  {
    given: scope({ window: { from: null, to: null } }),
    request: incremental,
    fault: "no bound",
  },
  {
    given: scope({ ranges: [range()], window: { from: "1", to: null } }),
    request: incremental,
    fault: "not both",
  },
  { given: scope({ streams: [] }), request: append, fault: "1 to" },
  { given: scope({ ranges: [] }), request: append, fault: "1 to" },
  {
    given: scope({ ranges: [range({ from: null, until: null })] }),
    request: append,
    fault: "no bound",
  },
  {
    given: scope({ ranges: [range({ column: "" })] }),
    request: append,
    fault: "column",
  },
  {
    given: scope({ ranges: [range({ from: "a\0b" })] }),
    request: append,
    fault: "NUL",
  },
  {
    given: scope({ ranges: [range({ from: "x".repeat(5000) })] }),
    request: append,
    fault: "at most",
  },
])("$given for $request.mode: $fault", ({ given, request, fault }) => {
  let found: unknown = null;
  try {
    checkScope(given, request);
  } catch (error) {
    found = error;
  }
  if (fault === null) expect(found).toBeNull();
  else {
    expect(found).toBeInstanceOf(ExtractError);
    expect((found as ExtractError).code).toBe("TRIGGER_INVALID");
    expect((found as ExtractError).message).toContain(fault);
  }
});

const unite = (a: Partial<RunScope>, b: Partial<RunScope>) => {
  const united = uniteScopes(writeScope(scope(a)), writeScope(scope(b)));
  return united === null ? null : readScope(united);
};
const window = { from: "1", to: "5" };

test.for([
  {
    a: { streams: ["b"] },
    b: { streams: ["a", "b"] },
    united: { streams: ["a", "b"] },
  },
  { a: { streams: ["b"] }, b: {}, united: {} },
  {
    a: { ranges: [range()] },
    b: { ranges: [range({ from: "9", until: "20" }), range()] },
    united: { ranges: [range(), range({ from: "9", until: "20" })] },
  },
  { a: { window }, b: { window }, united: { window } },
  { a: { window }, b: { window: { from: "5", to: "9" } }, united: null },
  // what an incremental run of all moves has no rows of a range in it
  { a: { ranges: [range()] }, b: {}, united: null },
  { a: { window }, b: {}, united: null },
  { a: { ranges: [range()] }, b: { streams: ["orders"] }, united: null },
] satisfies {
  a: Partial<RunScope>;
  b: Partial<RunScope>;
  united: Partial<RunScope> | null;
}[])("$a and $b are $united", ({ a, b, united }) => {
  expect(unite(a, b)).toEqual(united === null ? null : scope(united));
  expect(unite(b, a)).toEqual(united === null ? null : scope(united));
});

const anyScope = fc.record({
  streams: fc.option(
    fc.uniqueArray(fc.constantFrom("a", "b", "c"), { minLength: 1 }),
  ),
  ranges: fc.option(
    fc.array(
      fc.constantFrom(range(), range({ from: "3" }), range({ stream: "x" })),
      {
        minLength: 1,
      },
    ),
  ),
  window: fc.option(fc.constantFrom(window, { from: null, to: "2" })),
});

test("a union holds all streams and ranges of both, in one spelling", () =>
  fc.assert(
    fc.property(anyScope, anyScope, (a, b) => {
      const united = uniteScopes(writeScope(a), writeScope(b));
      expect(uniteScopes(writeScope(b), writeScope(a))).toBe(united);
      if (united === null) return;
      const found = readScope(united);
      for (const part of [a, b]) {
        if (found.streams !== null)
          expect(found.streams).toEqual(
            expect.arrayContaining(part.streams ?? ["missing"]),
          );
        if (found.ranges !== null)
          for (const one of part.ranges ?? [])
            expect(found.ranges).toContainEqual(one);
        expect(found.window).toEqual(part.window);
      }
    }),
  ));

test("a request that is not narrowed stays as it is, and ranges mean their own streams only", () => {
  const request = buildRequest({ url: "postgres://h/d", destination: "/out" });
  expect(narrowRequest(request, wholeScope)).toBe(request);
  expect(
    narrowRequest(request, scope({ ranges: [range()] })).narrowing,
  ).toEqual({ streams: ["orders"], ranges: [range()], window: null });
});
