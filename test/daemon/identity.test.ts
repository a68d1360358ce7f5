import { describe, expect, test } from "vitest";
import { buildRequest } from "../../daemon/config-request.ts";
import {
  fingerprintRequest,
  identifySync,
  lacksSecrets,
  recordRequest,
} from "../../daemon/identity.ts";
import type { SyncRequest } from "../../daemon/request.ts";

function request(salt: string, password = "hunter2"): SyncRequest {
  return buildRequest({
    url: `mysql://me:${password}@db/shop`,
    destination: `postgres://me:${password}@dwh/raw`,
    mappers: [{ steps: [{ hash: { columns: ["email"], salt } }] }],
  });
}

describe("what the ledger keeps of a request", () => {
  test("holds no password, salt or key", () => {
    const recorded = recordRequest(request("a salt of some length"));
    expect(recorded).not.toContain("hunter2");
    expect(recorded).not.toContain("a salt of some length");
  });

  test("tells whether a run used the same secrets", () => {
    const one = fingerprintRequest(recordRequest(request("the first salt!!")));
    expect(
      fingerprintRequest(recordRequest(request("the first salt!!", "other"))),
    ).toBe(one);
    expect(
      fingerprintRequest(recordRequest(request("the second salt!"))),
    ).not.toBe(one);
  });

  test("says that a resume from it would lack them", () => {
    const recorded = JSON.parse(recordRequest(request("the first salt!!")));
    expect(lacksSecrets(recorded)).toBe(true);
    const plain = buildRequest({ url: "postgres://h/d", destination: "/out" });
    expect(lacksSecrets(JSON.parse(recordRequest(plain)))).toBe(false);
  });
});

test("the same names in another kind of database are another sync", () => {
  const ids = ["postgres", "mysql", "sqlserver"].map((scheme) =>
    identifySync(
      buildRequest({ url: `${scheme}://me@h:1/d`, destination: "/out" }),
    ),
  );
  expect(new Set(ids).size).toBe(ids.length);
});
