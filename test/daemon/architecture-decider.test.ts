/** Every row of Airbyte's decision table, and what is decided here; where that differs the row says why. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  countSockets,
  decideArchitecture,
  ownIpc,
  type Architecture,
  type ArchitectureQuestion,
  type ArchitectureRule,
} from "../../daemon/architecture-decider.ts";

const channel = (more: object = {}) => ({
  dataChannel: {
    version: "0.0.2",
    supportedSerialization: ["JSONL", "PROTOBUF"],
    supportedTransport: ["SOCKET", "STDIO"],
    ...more,
  },
});
const airbyte = channel();
const stdioOnly = channel({ supportedTransport: ["STDIO"] });
const jsonOnly = channel({ supportedSerialization: ["JSONL"] });

type Ask = Partial<Omit<ArchitectureQuestion, "source" | "destination">> & {
  readonly source?: unknown;
  readonly destination?: unknown;
};

/** Two of Airbyte's newest connectors unless told otherwise. */
function ask(asked: Ask) {
  const { source, destination, ...more } = {
    ...{ source: airbyte, destination: airbyte },
    ...asked,
  };
  return decideArchitecture({
    ...{ isFileTransfer: false, isReset: false, forced: null, format: null },
    ...more,
    source: { name: "source-x", ipc: source },
    destination: { name: "destination-y", ipc: destination },
  });
}

const shown = ({ medium, format }: Architecture) => `${medium} ${format}`;

interface TableRow {
  /** Of Airbyte's table. */
  readonly row: number;
  readonly when: string;
  readonly ask: Ask;
  readonly airbyte: string;
  readonly ours: string;
  readonly rule: ArchitectureRule;
  readonly reason: RegExp;
  /** Why it is not the same. */
  readonly differs?: string;
  readonly isFallback?: true;
}

const table: readonly TableRow[] = [
  {
    ...{ row: 1, when: "files are transferred", airbyte: "STDIO JSONL" },
    ...{ ask: { isFileTransfer: true, isReset: true }, ours: "STDIO JSONL" },
    ...{ rule: "fileTransfer", reason: /whole files/ },
  },
  {
    ...{ row: 2, when: "it is a reset", airbyte: "STDIO JSONL" },
    ...{ ask: { isReset: true, forced: "SOCKET" }, ours: "STDIO JSONL" },
    ...{ rule: "reset", reason: /reset/ },
  },
  {
    ...{ row: 3, when: "STDIO is forced", airbyte: "STDIO JSONL" },
    ...{ ask: { forced: "STDIO" }, ours: "STDIO JSONL" },
    ...{ rule: "forcedStdio", reason: /asked for/ },
  },
  {
    ...{ row: 4, when: "SOCKET is forced", airbyte: "SOCKET PROTOBUF" },
    ...{ ask: { forced: "SOCKET" }, ours: "SOCKET PROTOBUF" },
    ...{ rule: "forcedSocket", reason: /sockets were asked for/ },
  },
  {
    ...{ row: 5, when: "the source says nothing", airbyte: "STDIO JSONL" },
    ...{ ask: { source: undefined }, ours: "STDIO JSONL" },
    ...{ rule: "optionsAbsent", reason: /source-x says nothing/ },
  },
  {
    ...{ row: 6, when: "the destination says nothing", airbyte: "STDIO JSONL" },
    ...{ ask: { destination: null }, ours: "STDIO JSONL" },
    ...{ rule: "optionsAbsent", reason: /destination-y says nothing/ },
  },
  {
    ...{ row: 7, when: "fields are hashed", airbyte: "STDIO JSONL" },
    ...{ ask: {}, ours: "SOCKET PROTOBUF", rule: "best", reason: /best/ },
    differs: "hashing is done where rows are read, and no platform sees them",
  },
  {
    ...{ row: 8, when: "a stream has mappers", airbyte: "STDIO JSONL" },
    ...{ ask: {}, ours: "SOCKET PROTOBUF", rule: "best", reason: /best/ },
    differs: "mappers work where rows are read, and no platform sees them",
  },
  {
    ...{ row: 9, when: "what is said is no object", airbyte: "STDIO JSONL" },
    ...{ ask: { source: "SOCKET" }, ours: "STDIO JSONL", isFallback: true },
    ...{ rule: "optionsUnreadable", reason: /source-x .* they are no object/ },
  },
  {
    ...{ row: 9, when: "what is said is null inside", airbyte: "STDIO JSONL" },
    ...{ ask: { source: { dataChannel: null } }, ours: "STDIO JSONL" },
    ...{ rule: "optionsAbsent", reason: /source-x says nothing/ },
  },
  {
    ...{ row: 10, when: "versions differ", airbyte: "STDIO JSONL" },
    ask: { source: channel({ version: "0.0.1" }) },
    ...{ ours: "STDIO JSONL", rule: "noCommonVersion", isFallback: true },
    reason:
      /source-x speaks version 0\.0\.1 of the data channel, destination-y 0\.0\.2/,
  },
  {
    ...{ row: 10, when: "versions overlap", airbyte: "STDIO JSONL" },
    ask: { source: channel({ version: "0.0.1 - 0.0.3" }) },
    ...{ ours: "SOCKET PROTOBUF", rule: "best", reason: /best/ },
    differs: "versions are ranges: two sides meet at the newest that both have",
  },
  {
    ...{ row: 11, when: "no format in common", airbyte: "error" },
    ask: {
      source: jsonOnly,
      destination: channel({ supportedSerialization: ["PROTOBUF"] }),
    },
    ...{ ours: "STDIO JSONL", rule: "noCommonFormat", isFallback: true },
    reason: /source-x has JSONL, destination-y PROTOBUF/,
    differs: "every connector speaks JSON lines: only what was forced can fail",
  },
  {
    ...{ row: 12, when: "no transport in common", airbyte: "error" },
    ask: {
      source: stdioOnly,
      destination: channel({ supportedTransport: ["SOCKET"] }),
    },
    ...{ ours: "STDIO JSONL", rule: "noCommonTransport", isFallback: true },
    reason: /source-x has STDIO, destination-y SOCKET/,
    differs:
      "every connector has standard streams: only what was forced can fail",
  },
  {
    ...{ row: 13, when: "both have sockets", airbyte: "SOCKET PROTOBUF" },
    ...{ ask: {}, ours: "SOCKET PROTOBUF", rule: "best", reason: /best/ },
  },
  {
    ...{ row: 13, when: "one has JSON only", airbyte: "SOCKET JSONL" },
    ...{ ask: { source: jsonOnly }, ours: "SOCKET JSONL" },
    ...{ rule: "best", reason: /JSONL over sockets/ },
  },
  {
    ...{ row: 13, when: "both are ours", airbyte: "SOCKET PROTOBUF" },
    ask: { source: ownIpc, destination: ownIpc },
    ...{ ours: "SOCKET COLUMNAR", rule: "best", reason: /COLUMNAR/ },
    differs:
      "columns cost a tenth of a message for each row, where both know them",
  },
  {
    ...{ row: 13, when: "one is ours", airbyte: "SOCKET PROTOBUF" },
    ask: { source: ownIpc },
    ...{ ours: "SOCKET PROTOBUF", rule: "best", reason: /PROTOBUF/ },
  },
  {
    ...{ row: 14, when: "one has no sockets", airbyte: "STDIO PROTOBUF" },
    ...{ ask: { destination: stdioOnly }, ours: "STDIO JSONL" },
    ...{ rule: "best", reason: /destination-y has no sockets/ },
    differs:
      "over standard streams the protocol is JSON lines and nothing else",
  },
];

test.for(table)(
  "row $row, $when: $ours",
  ({ ask: question, airbyte: theirs, ours, rule, reason, ...row }) => {
    const decided = ask(question);
    expect(shown(decided)).toBe(ours);
    expect(decided.rule).toBe(rule);
    expect(decided.reason).toMatch(reason);
    expect(decided.isFallback).toBe(row.isFallback ?? false);
    expect(decided.version).toBe(decided.medium === "SOCKET" ? "0.0.2" : null);
    // a row that is decided as Airbyte does needs no reason, and any other has one
    expect(row.differs === undefined).toBe(theirs === ours);
  },
);

test("all rows of the table are here", () => {
  expect([...new Set(table.map(({ row }) => row))]).toEqual(
    Array.from({ length: 14 }, (_, i) => i + 1),
  );
});

describe("what is forced", () => {
  test.for<{ why: string; ask: Ask; says: RegExp }>([
    {
      ...{ why: "a side says nothing", ask: { source: null } },
      says: /SOCKET cannot be had: source-x says nothing/,
    },
    {
      ...{ why: "a side has none", ask: { destination: stdioOnly } },
      says: /SOCKET cannot be had: destination-y has no sockets/,
    },
    {
      why: "versions differ",
      ask: { source: channel({ version: "1.0.0" }) },
      says: /version 1\.0\.0/,
    },
    {
      why: "no format is in common",
      ask: { source: jsonOnly, format: "PROTOBUF" },
      says: /SOCKET PROTOBUF cannot be had: source-x has JSONL/,
    },
  ])("is refused where $why", ({ ask: question, says }) => {
    const decide = () => ask({ ...question, forced: "SOCKET" });
    expect(decide).toThrow(expect.objectContaining({ code: "USAGE" }));
    expect(decide).toThrow(says);
  });

  test("a format is taken where both have it, and refused elsewhere", () => {
    expect(shown(ask({ format: "JSONL" }))).toBe("SOCKET JSONL");
    expect(ask({ format: "JSONL" }).reason).toMatch(/JSONL was asked for/);
    expect(() => ask({ format: "COLUMNAR" })).toThrow(/COLUMNAR cannot be had/);
  });
});

test("what a connector says may be anything: only a forced mode ever throws", () => {
  const junk = fc.oneof(
    fc.anything(),
    fc.record({ dataChannel: fc.anything() }),
    fc.record({
      dataChannel: fc.record({
        version: fc.oneof(fc.anything(), fc.constantFrom("0.0.2", "2 - 1")),
        supportedSerialization: fc.oneof(
          fc.anything(),
          fc.array(fc.constantFrom("JSONL", "PROTOBUF", "COLUMNAR", "ARROW")),
        ),
        supportedTransport: fc.oneof(
          fc.anything(),
          fc.array(fc.constantFrom("SOCKET", "STDIO", "QUIC")),
        ),
      }),
    }),
  );
  fc.assert(
    fc.property(junk, junk, (source, destination) => {
      const decided = ask({ source, destination });
      expect(decided.reason).not.toBe("");
      if (decided.medium === "STDIO") expect(decided.format).toBe("JSONL");
    }),
  );
});

test.for([
  { version: "0.0.2", other: "0.0.1 - 0.0.2", common: "0.0.2" },
  { version: "0.0.1", other: "0.0.1 - 0.0.2", common: "0.0.1" },
  { version: "0.9.0 - 1.2.3", other: "1.0.0 - 2.0.0", common: "1.2.3" },
  { version: "0.0.10", other: "0.0.9 - 0.0.11", common: "0.0.10" },
])("$version and $other meet at $common", ({ version, other, common }) => {
  const sides = [channel({ version }), channel({ version: other })];
  const [a, b] = sides;
  expect(ask({ source: a, destination: b }).version).toBe(common);
  expect(ask({ source: b, destination: a }).version).toBe(common);
});

test.for([
  { override: 5, sourceCpus: 1, destinationCpus: 1, sockets: 5 },
  { override: null, sourceCpus: 4, destinationCpus: 2, sockets: 4 },
  { override: null, sourceCpus: 3.9, destinationCpus: 8, sockets: 6 },
  { override: null, sourceCpus: 0.5, destinationCpus: 8, sockets: 2 },
  { override: null, sourceCpus: Number.NaN, destinationCpus: 8, sockets: 2 },
  { override: -1, sourceCpus: 1, destinationCpus: 1, sockets: 2 },
  { override: null, sourceCpus: 9_999, destinationCpus: 9_999, sockets: 1024 },
])("$sockets sockets", ({ sockets, ...question }) => {
  expect(countSockets(question)).toBe(sockets);
});
