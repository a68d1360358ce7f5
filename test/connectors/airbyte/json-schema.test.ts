import { describe, expect, test } from "vitest";
import {
  describeColumn,
  readProperty,
} from "../../../connectors/airbyte/json-schema.ts";
import { fixedWidthBytes, type LogicalKind } from "../../../proto/schema.ts";

describe("a property becomes the type that holds every value it allows", () => {
  test.for([
    [{ type: "integer" }, "int64"],
    [{ type: ["null", "integer"] }, "int64"],
    [{ type: "number", airbyte_type: "integer" }, "int64"],
    [{ type: "integer", airbyte_type: "big_integer" }, "decimalText"],
    [{ type: "string", airbyte_type: "big_number" }, "decimalText"],
    [{ type: "number" }, "float64"],
    [{ type: ["integer", "number"] }, "float64"],
    [{ type: "boolean" }, "boolean"],
    [{ type: "string" }, "text"],
    [{ type: "string", format: "uuid" }, "text"],
    [{ type: "string", format: "date" }, "date"],
    [{ type: "string", format: "date-time" }, "timestamptz"],
    [
      {
        type: "string",
        format: "date-time",
        airbyte_type: "timestamp_without_timezone",
      },
      "timestamp",
    ],
    [
      { type: "string", format: "time", airbyte_type: "time_without_timezone" },
      "time",
    ],
    [
      { type: "string", format: "time", airbyte_type: "time_with_timezone" },
      "text",
    ],
    [{ type: "string", format: "time" }, "text"],
    [{ type: "string", contentEncoding: "base64" }, "binary"],
    [{ type: "object" }, "json"],
    [{ type: "array" }, "json"],
    [{ type: ["string", "integer"] }, "json"],
    [{ oneOf: [{ type: "string" }, { type: "object" }] }, "json"],
    [{ oneOf: [{ type: "null" }, { type: "boolean" }] }, "boolean"],
    [{ anyOf: [{ type: "string", format: "date" }, { type: "null" }] }, "date"],
    [{ $ref: "#/x" }, "json"],
    [{}, "json"],
    [true, "json"],
  ] as const)("%o: %s", ([property, kind]) => {
    expect(readProperty(property).kind).toBe(kind);
  });
});

test("numbers may be kept as their digits", () => {
  expect(readProperty({ type: "number" }, "decimalText").kind).toBe(
    "decimalText",
  );
});

test("each of our types comes back as itself", () => {
  for (const kind of Object.keys(fixedWidthBytes) as LogicalKind[]) {
    const isDecimal = kind === "decimal64" || kind === "decimal128";
    const type = isDecimal ? { kind, precision: 18, scale: 4 } : { kind };
    expect(readProperty(describeColumn({ type, nullable: true }))).toEqual(
      type,
    );
  }
});

test.for([
  { type: "string", millrace_type: "int64" },
  { type: "number", millrace_type: "decimal64(99,2)" },
  { type: "number", millrace_type: "decimal64" },
  { type: "number", millrace_type: "decimal64(4,9)" },
  { type: "number", millrace_type: "constructor" },
])("our word counts for nothing where it says otherwise: %o", (property) => {
  expect(readProperty(property)).toEqual(readProperty({ type: property.type }));
});
