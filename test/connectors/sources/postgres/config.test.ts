import { describe, expect, test } from "vitest";
import { z } from "zod";
import { postgresSource } from "../../../../connectors/sources/postgres/config.ts";

const url = "postgres://reader:secret@db.example.com:5433/shop?sslmode=require";

describe("the postgres source of a YAML file", () => {
  test("is its kind and a URL", () => {
    const source = { kind: "postgres", url };
    expect(postgresSource.parse(source)).toEqual(source);
  });

  test.for([
    ["another kind", { kind: "mysql", url }],
    ["no URL", { kind: "postgres" }],
    ["another protocol", { kind: "postgres", url: "mysql://h/db" }],
    ["an unknown parameter", { kind: "postgres", url: `${url}&sslmod=x` }],
    ["an unknown key", { kind: "postgres", url, uri: url }],
  ])("%s is a fault", ([, source]) => {
    const { success, error } = postgresSource.safeParse(source);
    expect(success).toBe(false);
    expect(JSON.stringify(error?.issues)).not.toContain("reader:secret");
  });

  test("names the part of the URL that is wrong", () => {
    const bad = { kind: "postgres", url: "postgres://h:99999/db" };
    const issues = postgresSource.safeParse(bad).error?.issues;
    expect(issues?.[0]?.path).toEqual(["url"]);
    expect(issues?.[0]?.message).toMatch(/cannot be read|port/);
  });

  test("its schema marks the URL as a secret", () => {
    expect(z.toJSONSchema(postgresSource)).toMatchObject({
      required: ["kind", "url"],
      additionalProperties: false,
      properties: { url: { type: "string", secret: true } },
    });
  });
});
