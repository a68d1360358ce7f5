/**
 * Where in its source's log an event was made, as a text that sorts as that log goes. Topics bring events again when a
 * connector has been started anew; those of one source's place are one event.
 */
import { ExtractError } from "../../../../proto/error.ts";
import type { ChangeConnector } from "../events/types.ts";
import { commitOfBinlog, commitOfLsn } from "../events/positions.ts";
import type { ChangeEvent } from "../events/event.ts";

export interface SourcePlace {
  readonly connector: ChangeConnector;
  /** Empty where the row was read by a snapshot: it comes from no place in the log. */
  readonly place: string;
}

/** @throws ExtractError SOURCE_EVENT_INVALID where the source's block does not say it */
export function readPlace(event: ChangeEvent): SourcePlace {
  const text = (name: string): string | null => event.sourceText(name);
  const connector = readConnector(text);
  const snapshot = text("snapshot");
  if (event.op === "r" || (snapshot !== null && snapshot !== "false"))
    return { connector, place: "" };
  return { connector, place: formatPlace(connector, text) };
}

type Read = (name: string) => string | null;

function readConnector(text: Read): ChangeConnector {
  const name = text("connector");
  switch (name) {
    case "postgresql":
    case "mysql":
    case "mariadb":
    case "sqlserver":
      return name;
    case null:
      if (text("lsn") !== null) return "postgresql";
      if (text("commit_lsn") !== null) return "sqlserver";
      if (text("file") !== null) return "mysql";
  }
  throw invalid(
    `it comes from ${name === null ? "no source that is known" : `a connector for ${name.slice(0, 40)}, which is not supported`}`,
  );
}

function formatPlace(connector: ChangeConnector, text: Read): string {
  if (connector === "postgresql") {
    const lsn = text("lsn") ?? "";
    // a change's own place is not where its transaction stands: the one before it that was committed says that
    const before = /^\[\s*(?:"(\d{1,20})"|null)\s*,/.exec(
      text("sequence") ?? "",
    );
    return `${commitOfLsn(before?.[1] ?? "0")}-${commitOfLsn(lsn)}`;
  }
  if (connector === "sqlserver") {
    const serial = (text("event_serial_no") ?? "0").padStart(20, "0");
    return `${commitOfLsn(text("commit_lsn") ?? "")}-${commitOfLsn(text("change_lsn") ?? "")}-${serial}`;
  }
  const position = text("pos") ?? "";
  const row = text("row") ?? "0";
  if (!/^\d{1,15}$/.test(position) || !/^\d{1,10}$/.test(row))
    throw invalid("its place in the binary log is none");
  return `${commitOfBinlog(text("file") ?? "", BigInt(position))}-${row.padStart(10, "0")}`;
}

function invalid(reason: string): ExtractError {
  return new ExtractError(
    "SOURCE_EVENT_INVALID",
    `an event of the topic cannot be read: ${reason}`,
    { reason },
  );
}
