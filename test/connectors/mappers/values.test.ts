/** Hash, encrypt and mask: every kind, NULL, and what a reader of the result can do. */
import {
  constants,
  createDecipheriv,
  createHash,
  generateKeyPairSync,
  privateDecrypt,
} from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { MapperStep } from "../../../connectors/mappers/config.ts";
import { createMapper } from "../../../connectors/mappers/mapper.ts";
import type { LogicalKind } from "../../../proto/schema.ts";
import {
  buildBatch,
  buildSchema,
  type TestRow,
  type TestValue,
} from "../../fixtures/batches.ts";
import { encodeFile, parquetOptions } from "../formats/files.ts";
import { kindCases } from "../formats/kinds.ts";
import { appendOnly, listFaults, mapRows, runStep } from "./rows.ts";

const kinds = Object.keys(kindCases) as LogicalKind[];
const salt = "0123456789 salt of the tests";

/** The bytes that the README promises: as they lie, else the text of a CSV file. */
function bytesOf(kind: LogicalKind, value: Exclude<TestValue, null>): Buffer {
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (typeof value === "string" && kind !== "uuid") return Buffer.from(value);
  const schema = buildSchema({ c: kindCases[kind].type });
  const csv = encodeFile(schema, { ...parquetOptions, format: "csv" }, [
    buildBatch(schema, [[value]]),
  ]).toString("utf8");
  return Buffer.from(csv.slice("c\n".length, -1));
}

describe("hash", () => {
  test.for(kinds)("%s", (kind) => {
    const { type, edges } = kindCases[kind];
    const schema = buildSchema({ before: "int32", c: type, behind: "text" });
    const rows = [null, ...edges, null].map((value, i): TestRow => [
      i,
      value,
      "x",
    ]);
    for (const output of ["hex", "binary"] as const) {
      const expected = rows.map(([before, value, behind]): TestRow => {
        if (value === null) return [before!, null, behind!];
        const digest = createHash("sha256")
          .update(salt)
          .update(bytesOf(kind, value!))
          .digest();
        return [
          before!,
          output === "hex" ? digest.toString("hex") : new Uint8Array(digest),
          behind!,
        ];
      });
      const step: MapperStep = { hash: { columns: ["c"], salt, output } };
      expect(runStep(schema, step, rows)).toEqual(expected);
    }
  });

  test("without a salt it is the hash that everybody computes", () => {
    const schema = buildSchema({ c: "text" });
    expect(runStep(schema, { hash: { columns: ["c"] } }, [["abc"]])).toEqual([
      ["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
    ]);
  });

  test("any text, with any salt", () => {
    const schema = buildSchema({ c: "text" });
    fc.assert(
      fc.property(
        fc.array(fc.option(fc.string({ unit: "grapheme", maxLength: 200 })), {
          minLength: 1,
        }),
        fc.string(),
        (texts, anySalt) => {
          const step = { hash: { columns: ["c"], salt: anySalt } };
          const hashed = texts.map((text) => [
            text === null
              ? null
              : createHash("sha256")
                  .update(anySalt + text)
                  .digest("hex"),
          ]);
          expect(
            runStep(
              schema,
              step,
              texts.map((text) => [text]),
            ),
          ).toEqual(hashed);
        },
      ),
    );
  });
});

const { publicKey, privateKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});
const aesKey = Buffer.alloc(32, 7);

/** As the table in `encrypt.ts` says. */
function decrypt(bytes: Buffer): Buffer {
  let at = 1;
  let key = aesKey;
  if (bytes[0] === 2) {
    const length = bytes.readUInt16BE(1);
    at = 3 + length;
    key = privateDecrypt(
      {
        key: privateKey,
        padding: constants.RSA_PKCS1_OAEP_PADDING,
        oaepHash: "sha256",
      },
      bytes.subarray(3, at),
    ) as typeof key;
  } else expect(bytes[0]).toBe(1);
  const decipher = createDecipheriv(
    "aes-256-gcm",
    key,
    bytes.subarray(at, at + 12),
  );
  decipher.setAuthTag(bytes.subarray(-16));
  return Buffer.concat([
    decipher.update(bytes.subarray(at + 12, -16)),
    decipher.final(),
  ]);
}

describe.for([
  { method: "aes-256-gcm", key: aesKey.toString("hex") },
  { method: "aes-256-gcm", key: aesKey.toString("base64") },
  { method: "rsa-oaep", key: publicKey },
] as const)("encrypt by $method", ({ method, key }) => {
  test.for(kinds)("%s", (kind) => {
    const { type, edges } = kindCases[kind];
    const schema = buildSchema({ c: type });
    const rows = [null, ...edges, null].map((value): TestRow => [value]);
    for (const output of ["binary", "base64"] as const) {
      const encrypted = runStep(
        schema,
        { encrypt: { columns: ["c"], method, key, output } },
        rows,
      );
      expect(
        encrypted.map(([value]) =>
          value === null
            ? null
            : decrypt(
                output === "binary"
                  ? Buffer.from(value as Uint8Array)
                  : Buffer.from(value as string, "base64"),
              ),
        ),
      ).toEqual(
        rows.map(([value]) => (value === null ? null : bytesOf(kind, value!))),
      );
    }
  });

  test("equal values look different, in one batch and in two", () => {
    const schema = buildSchema({ c: "text" });
    const step: MapperStep = { encrypt: { columns: ["c"], method, key } };
    const mapper = createMapper(schema, [step], appendOnly);
    const rows = Array.from({ length: 50 }, (): TestRow => ["same"]);
    const seen = [
      ...mapRows(mapper, schema, rows),
      ...mapRows(mapper, schema, rows),
    ].map(([value]) => Buffer.from(value as Uint8Array).toString("hex"));
    expect(new Set(seen).size).toBe(100);
  });
});

test("a batch that has grown too large is cut, its rows in order", () => {
  const schema = buildSchema({ id: "int32", a: "text", b: "text", c: "text" });
  const step: MapperStep = {
    encrypt: { columns: ["a", "b", "c"], method: "rsa-oaep", key: publicKey },
  };
  const mapper = createMapper(schema, [step], appendOnly);
  const rows = Array.from({ length: 16_384 }, (_, i): TestRow => [
    i,
    "",
    "",
    "",
  ]);
  const batches = mapper.apply(buildBatch(schema, rows));
  expect(batches.length).toBeGreaterThan(1);
  for (const { columns } of batches)
    expect(
      columns.reduce((sum, { data }) => sum + data.length, 0),
    ).toBeLessThan(9 * 1024 * 1024);
  const ids = mapRows(mapper, schema, rows).map(([id]) => id);
  expect(ids).toEqual(rows.map(([id]) => id));
});

describe("mask", () => {
  test.for<{ step: object; value: string; masked: string }>([
    {
      step: { keepLast: 4 },
      value: "4111111111111111",
      masked: "************1111",
    },
    { step: { keepLast: 4 }, value: "1234", masked: "****" },
    { step: { keepLast: 4 }, value: "12", masked: "**" },
    { step: { keepLast: 4 }, value: "", masked: "" },
    { step: { keepLast: 0 }, value: "geheim", masked: "******" },
    { step: { keepLast: 2 }, value: "straße道路", masked: "******道路" },
    { step: { keepLast: 1 }, value: "ab🛣", masked: "**🛣" },
    { step: { text: "hidden" }, value: "anything", masked: "hidden" },
    { step: { text: "" }, value: "anything", masked: "" },
    {
      step: { email: true },
      value: "anna@example.com",
      masked: "a***@example.com",
    },
    {
      step: { email: true },
      value: "a@example.com",
      masked: "***@example.com",
    },
    { step: { email: true }, value: "@example.com", masked: "***" },
    { step: { email: true }, value: "no address", masked: "***" },
    { step: { email: true }, value: "", masked: "***" },
    { step: { email: true }, value: 'a"@"b@x.org', masked: "a***@x.org" },
    { step: { email: true }, value: "ümit@x.org", masked: "ü***@x.org" },
  ])("$value by $step becomes $masked", ({ step, value, masked }) => {
    const schema = buildSchema({ c: "text" });
    const mask = { columns: ["c"], ...step };
    expect(runStep(schema, { mask }, [[value], [null], [value]])).toEqual([
      [masked],
      [null],
      [masked],
    ]);
  });

  test.for(kinds.filter((kind) => kind !== "binary"))("%s", (kind) => {
    const { type, edges } = kindCases[kind];
    const schema = buildSchema({ c: type });
    const rows = [null, ...edges].map((value): TestRow => [value]);
    const mask = { columns: ["c"], keepLast: 2 };
    expect(runStep(schema, { mask }, rows)).toEqual(
      rows.map(([value]) => {
        if (value === null) return [null];
        const characters = Array.from(bytesOf(kind, value!).toString("utf8"));
        return [
          characters.length <= 2
            ? "*".repeat(characters.length)
            : "*".repeat(characters.length - 2) + characters.slice(-2).join(""),
        ];
      }),
    );
  });
});

describe("secrets that are none", () => {
  const schema = buildSchema({ c: "text" });
  const { publicKey: small } = generateKeyPairSync("rsa", {
    modulusLength: 1024,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const { publicKey: curve } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });

  test.for<{ method: "aes-256-gcm" | "rsa-oaep"; key: string; reason: RegExp }>(
    [
      { method: "aes-256-gcm", key: "5ecre7", reason: /no AES-256 key/ },
      {
        method: "aes-256-gcm",
        key: "5ecre7".repeat(9),
        reason: /no AES-256 key/,
      },
      { method: "aes-256-gcm", key: publicKey, reason: /no AES-256 key/ },
      { method: "rsa-oaep", key: "5ecre7", reason: /no public key in PEM/ },
      { method: "rsa-oaep", key: privateKey, reason: /private key/ },
      { method: "rsa-oaep", key: small, reason: /1024 bits, where 2048/ },
      { method: "rsa-oaep", key: curve, reason: /no RSA key, but ec/ },
    ],
  )("$method: $reason", ({ method, key, reason }) => {
    const step: MapperStep = {
      encrypt: { columns: ["c", "missing"], method, key },
    };
    const faults = listFaults(schema, [step]);
    expect(faults).toHaveLength(2);
    expect(faults[0]).toMatch(reason);
    // neither the fault nor the error has a part of the secret
    const parts = key
      .match(/[\w+/]{6,}/g)!
      .filter((part) => !/^(BEGIN|PUBLIC|PRIVATE)/.test(part));
    let message = "";
    try {
      createMapper(schema, [step], appendOnly);
    } catch (error) {
      message = JSON.stringify([error, String(error), (error as Error).stack]);
    }
    expect(message).toContain("steps[0].encrypt.key");
    for (const part of parts) {
      expect(faults.join("\n")).not.toContain(part);
      expect(message).not.toContain(part);
    }
  });
});
