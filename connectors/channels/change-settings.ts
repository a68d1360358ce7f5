/** How a stream's changes are written: by what its source says of all its tables, and of this one. */
import type { LogConnector } from "../../proto/control.ts";
import type { ChangeSettings } from "../sources/debezium/events/columns.ts";
import type { DiscoveredStream } from "../sources/source.ts";

type CommonSettings = Pick<
  ChangeSettings,
  "policy" | "valueNulled" | "unavailableValue" | "transactionId"
>;

export function describeChangeSettings(
  { changes }: Pick<DiscoveredStream, "changes">,
  connector: LogConnector,
  common: CommonSettings,
): ChangeSettings {
  const declaredTypes = new Map(Object.entries(changes?.declaredTypes ?? {}));
  if (changes?.topic) {
    const { topic } = changes;
    return {
      ...common,
      connector: topic.connector,
      beforeImage: changes.beforeImage,
      timePrecision: topic.timePrecision,
      unavailableValue: topic.unavailableValue,
      declaredTypes,
      leftOut: new Set(topic.leftOut),
    };
  }
  // a server of MySQL has to log whole rows, and one of Postgres does it for tables that are told to
  const isWhole = connector !== "postgresql";
  return {
    ...common,
    connector,
    beforeImage: isWhole ? "full" : (changes?.beforeImage ?? "key"),
    timePrecision: "microseconds",
    declaredTypes,
  };
}
