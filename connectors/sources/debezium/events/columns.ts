/** The columns of a stream as its decoder knows them. */
import { changeColumns } from "../../../../proto/change-columns.ts";
import { ExtractError } from "../../../../proto/error.ts";
import type {
  StreamSchema,
  UnrepresentablePolicy,
} from "../../../../proto/schema.ts";
import { isVariableWidth } from "../../../../proto/schema.ts";
import { resolveValue, type ChangeConnector, type ValueType } from "./types.ts";

export interface ChangeSettings {
  readonly connector: ChangeConnector;
  /**
   * What an update or a deletion says of the row before it: all of it (`REPLICA IDENTITY FULL`, `binlog_row_image=FULL`)
   * or its key alone.
   */
  readonly beforeImage: "full" | "key";
  /** `time.precision.mode`: every time in µs, or by the digits of its type in ms, µs or ns. */
  readonly timePrecision: "microseconds" | "adaptive";
  readonly policy: UnrepresentablePolicy;
  /** A value was replaced by NULL under the policy `null`. */
  readonly valueNulled: (column: string, reason: string) => void;
  /** `unavailable.value.placeholder` of the engine: a text that no row of the source holds. ASCII without escapes. */
  readonly unavailableValue: string;
  /** Whether the stream has `_txid`. */
  readonly transactionId: boolean;
  /**
   * Declared types of columns under their domains, where they differ from `sourceType`: `integer` for a domain over it,
   * `numeric(7,2)[]` for an array of one, `record` for a composite type and `record[]` for an array of one.
   */
  readonly declaredTypes?: ReadonlyMap<string, string>;
  /** Columns of the table that are not copied: an event may have them. */
  readonly leftOut?: ReadonlySet<string>;
}

export interface ChangeColumn extends ValueType {
  readonly index: number;
  readonly name: string;
  /** As it stands in JSON when it has no escapes. */
  readonly nameBytes: Uint8Array;
  /** In quotes, for `_unchanged`. */
  readonly jsonName: Uint8Array;
  readonly precision: number;
  readonly digits: number;
  readonly logical: StreamSchema["columns"][number]["type"]["kind"];
  readonly isKey: boolean;
  /** The bytes of a value that the log does not hold; null where the log holds every value of the type. */
  readonly placeholder: Uint8Array | null;
}

/**
 * @throws ExtractError SOURCE_TYPE_NOT_IN_LOG naming every column whose values the log does not give as the table does,
 * SOURCE_LOG_UNUSABLE for a table without a key
 */
export function planColumns(
  table: StreamSchema,
  settings: ChangeSettings,
): readonly ChangeColumn[] {
  const name = `${table.namespace}.${table.name}`;
  const key = table.key ?? [];
  if (key.length === 0) {
    throw new ExtractError(
      "SOURCE_LOG_UNUSABLE",
      `${name} has no key, so that its changes cannot be told apart`,
      { table: name },
    );
  }
  const taken = changeColumns.find((ours) =>
    table.columns.some((column) => column.name === ours.name),
  );
  if (taken !== undefined) {
    throw new ExtractError(
      "SOURCE_LOG_UNUSABLE",
      `${name} has a column ${taken.name}, which is what a stream of changes calls one of its own`,
      { table: name, column: taken.name },
    );
  }
  const refused: string[] = [];
  const columns = table.columns.map((column, index): ChangeColumn => {
    const declared =
      settings.declaredTypes?.get(column.name) ?? column.sourceType;
    const value = resolveValue(settings, column, declared);
    if (typeof value === "string")
      refused.push(`${column.name} (${declared}): ${value}`);
    const type: ValueType =
      typeof value === "string"
        ? { kind: "text", unitsPerSecond: 0, scale: 0, element: "text" }
        : value;
    return {
      ...type,
      index,
      name: column.name,
      nameBytes: Buffer.from(column.name),
      jsonName: Buffer.from(JSON.stringify(column.name)),
      precision: column.type.precision ?? 0,
      digits: column.type.scale ?? 0,
      logical: column.type.kind,
      isKey: key.includes(column.name),
      placeholder: placeholderOf(type, column.type.kind, settings),
    };
  });
  if (refused.length > 0) {
    throw new ExtractError(
      "SOURCE_TYPE_NOT_IN_LOG",
      `${name} has columns whose changes do not come as their values do: ${refused.join("; ")}`,
      { table: name, columns: refused.join("; ") },
    );
  }
  const missing = key.filter(
    (column) => !columns.some((one) => one.name === column),
  );
  if (missing.length > 0) {
    throw new ExtractError(
      "SOURCE_LOG_UNUSABLE",
      `${name} is copied without ${missing.join()} of its key`,
      { table: name },
    );
  }
  return columns;
}

/** Only values of variable length are kept outside of their row. */
function placeholderOf(
  { kind }: ValueType,
  logical: ChangeColumn["logical"],
  { connector, unavailableValue }: ChangeSettings,
): Uint8Array | null {
  if (connector !== "postgresql" && connector !== "connect") return null;
  const isDecimal = logical === "decimal64" || logical === "decimal128";
  if (!isVariableWidth(logical) && !isDecimal) return null;
  return Buffer.from(
    kind === "binary"
      ? Buffer.from(unavailableValue).toString("base64")
      : unavailableValue,
  );
}
