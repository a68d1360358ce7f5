/** A decoder for a table that is made here, and events of it as Debezium writes them. */
import { ChangeEvent } from "../../../../../connectors/sources/debezium/events/event.ts";
import {
  planColumns,
  type ChangeSettings,
} from "../../../../../connectors/sources/debezium/events/columns.ts";
import {
  openChangeDecoder,
  type AppendResult,
  type ChangeDecoder,
  type RowEvent,
} from "../../../../../connectors/sources/debezium/events/decoder.ts";
import { makePlace } from "../../../../../connectors/sources/debezium/events/positions.ts";
import { BatchSet } from "../../../../../connectors/sources/batches/batch-set.ts";
import type { LogicalType, StreamSchema } from "../../../../../proto/schema.ts";
import { expect } from "vitest";
import { ExtractError } from "../../../../../proto/error.ts";
import { readBatch } from "../../../../fixtures/batch-rows.ts";
import type { TestRow, TestValue } from "../../../../fixtures/batches.ts";
import { kindsOf, toBatchEvent, type Kinds } from "./frames.ts";

export const UNAVAILABLE = "millrace-unavailable-0123456789abcdef";
export const place = makePlace(1, "0000000016b374d84800", "733");

export const postgres: ChangeSettings = {
  connector: "postgresql",
  beforeImage: "key",
  timePrecision: "microseconds",
  policy: "error",
  valueNulled: () => {},
  unavailableValue: UNAVAILABLE,
  transactionId: false,
};

export const mysql: ChangeSettings = {
  ...postgres,
  connector: "mysql",
  beforeImage: "full",
};

/** Name, logical type, declared type. */
export type TestColumn = readonly [
  name: string,
  type: LogicalType,
  sourceType?: string,
];

/** A table whose key is its first column, unless another is named. */
export function makeTable(
  columns: readonly TestColumn[],
  key: readonly string[] = [columns[0]?.[0] ?? ""],
): StreamSchema {
  return {
    number: 1,
    namespace: "public",
    name: "orders",
    columns: columns.map(([name, type, sourceType]) => ({
      name,
      type,
      nullable: true,
      sourceType: sourceType ?? type.kind,
    })),
    key,
    fingerprint: "0123456789abcdef",
  };
}

export interface EventOptions {
  readonly op?: string;
  readonly before?: string | null;
  readonly after?: string | null;
  readonly key?: string | null;
  readonly headers?: string | null;
  readonly order?: number;
  /** JSON of `source`, besides what every event has. */
  readonly source?: string;
}

/** A value as Debezium 3.5 writes it, from the JSON of its rows. */
export function envelope({
  op = "c",
  before = null,
  after = null,
  source = "",
}: EventOptions): string {
  return `{"before":${before},"after":${after},"source":{"version":"3.5.0.Final","connector":"postgresql","name":"m","ts_ms":1795276284143,"snapshot":"false","db":"shop","sequence":"[\\"27358648\\",\\"27360744\\"]","ts_us":1795276284143123,"ts_ns":1795276284143123000,"schema":"public","table":"orders","txId":733,"lsn":27360744,"xmin":null${source}},"transaction":{"id":"733:27360744","total_order":1,"data_collection_order":1},"op":"${op}","ts_ms":1795276284155,"ts_us":1795276284155668,"ts_ns":1795276284155668765}`;
}

export function readEvent(
  value: string | Uint8Array,
  options: EventOptions = {},
): ChangeEvent {
  const bytes = (text: string | null | undefined): Buffer | null =>
    text === null || text === undefined ? null : Buffer.from(text);
  return new ChangeEvent().read({
    number: 7,
    order: options.order ?? 1,
    topic: "m.public.orders",
    key: bytes(options.key),
    value: typeof value === "string" ? Buffer.from(value) : value,
    headers: bytes(options.headers),
  });
}

/** In which of its two ways an event is written. */
export type EventForm = "lines" | "frames";
export const forms: readonly EventForm[] = ["lines", "frames"];

export class Harness {
  readonly decoder: ChangeDecoder;
  readonly set: BatchSet;
  readonly #form: EventForm;
  readonly #kinds: Kinds;

  constructor(
    table: StreamSchema,
    settings: ChangeSettings,
    form: EventForm,
    capacity = 64,
  ) {
    this.#form = form;
    this.#kinds = kindsOf(planColumns(table, settings));
    this.decoder = openChangeDecoder(table, settings);
    this.set = new BatchSet(this.decoder.fields, capacity);
  }

  append(options: EventOptions): AppendResult {
    return this.decoder.append(this.read(options), place, this.set);
  }

  read(options: EventOptions): RowEvent {
    const event = readEvent(envelope(options), options);
    return this.#form === "lines" ? event : toBatchEvent(event, this.#kinds);
  }

  /** What was appended, as plain values. The set goes on being filled, so its bits are put back. */
  get rows(): TestRow[] {
    const bits = this.set.columns.map(({ validity }) => validity?.slice());
    const batch = this.set.toBatch(this.decoder.fields.length);
    const rows = readBatch(this.decoder.schema, batch);
    for (const [i, { validity }] of this.set.columns.entries()) {
      validity?.set(bits[i] ?? []);
    }
    return rows;
  }

  /** The last row by the names of its columns. */
  get last(): Readonly<Record<string, TestValue>> {
    const row = this.rows.at(-1) ?? [];
    return Object.fromEntries(
      this.decoder.schema.columns.map(({ name }, i) => [name, row[i] ?? null]),
    );
  }
}

/** One value of a column `v` of this type, from its JSON; from a frame it has to be the same. */
export function decodeValue(
  settings: ChangeSettings,
  type: LogicalType,
  sourceType: string,
  json: string,
): TestValue {
  const table = makeTable([
    ["id", { kind: "int32" }],
    ["v", type, sourceType],
  ]);
  const decode = (form: EventForm): TestValue => {
    const harness = new Harness(table, settings, form);
    const result = harness.append({ after: `{"id":1,"v":${json}}` });
    if (result !== "appended") throw new Error(JSON.stringify(result));
    return harness.last["v"] ?? null;
  };
  // in a frame there are no escapes
  if (type.kind !== "binary" || !json.includes("\\")) {
    const line = outcomeOf(() => decode("lines"));
    expect(outcomeOf(() => decode("frames"))).toEqual(line);
  }
  return decode("lines");
}

/** The value, or as what it was refused. */
function outcomeOf(decode: () => TestValue): unknown {
  try {
    return { value: decode() };
  } catch (error) {
    return { refused: error instanceof ExtractError ? error.code : "misfit" };
  }
}
