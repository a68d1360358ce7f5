/**
 * The answer to a prepared statement up to its rows: COM_STMT_PREPARE's, then COM_STMT_EXECUTE's. Takes packets one by
 * one and says what comes next.
 * @see MySQL internals, "COM_STMT_PREPARE response", "Binary Protocol Resultset"
 */
import {
  markers,
  readColumnCount,
  readColumnDefinition,
  readPrepareOk,
  violation,
  type Capabilities,
  type ResultField,
} from "./packets.ts";

/** Marker, warnings, status. */
const EOF_BYTES_MAX = 5;

type Phase =
  | "prepareOk"
  | "definitions"
  | "columnCount"
  | "columns"
  | "columnsEnd"
  | "rows";

export class StatementAnswer {
  /** Number of the prepared statement; null before there is one. */
  statement: number | null = null;
  /** Columns of the rows; complete when the rows begin. */
  readonly fields: ResultField[] = [];
  /** Question marks of the statement that stand for parameters. */
  parameters = 0;
  readonly #capabilities: Capabilities;
  #phase: Phase = "prepareOk";
  /** Packets, of this phase, that are to come. */
  #left = 0;

  constructor(capabilities: Capabilities) {
    this.#capabilities = capabilities;
  }

  get isInRows(): boolean {
    return this.#phase === "rows";
  }

  /**
   * Takes the payload `buffer[start, end)` of a packet that is no error. `prepared`: the statement is prepared, and
   * nothing comes before it is executed; `rows`: rows follow; `more`: another packet of this kind.
   * @throws ExtractError SOURCE_PROTOCOL_VIOLATION
   */
  take(
    buffer: Buffer,
    start: number,
    end: number,
  ): "more" | "prepared" | "rows" {
    switch (this.#phase) {
      case "prepareOk":
        this.#takePrepareOk(buffer, start, end);
        return "more";
      case "definitions":
        // of parameters and columns: those of the execution are what counts
        this.#left--;
        if (this.#left > 0) return "more";
        this.#phase = "columnCount";
        return "prepared";
      case "columnCount":
        if (buffer[start] === markers.localInfile) {
          throw violation("a request for a file of this machine");
        }
        this.#left = readColumnCount(buffer, start, end);
        this.#phase = "columns";
        return "more";
      case "columns":
        this.fields.push(
          readColumnDefinition(buffer, start, end, this.#capabilities),
        );
        this.#left--;
        if (this.#left > 0) return "more";
        this.#phase = this.#capabilities.deprecateEof ? "rows" : "columnsEnd";
        return this.isInRows ? "rows" : "more";
      case "columnsEnd":
        if (buffer[start] !== markers.eof || end - start > EOF_BYTES_MAX) {
          throw violation("another packet where column definitions end");
        }
        this.#phase = "rows";
        return "rows";
      case "rows":
        throw violation("another packet in place of a row");
    }
  }

  #takePrepareOk(buffer: Buffer, start: number, end: number): void {
    const prepared = readPrepareOk(buffer, start, end);
    if (prepared.columns === 0) throw violation("a query without columns");
    this.statement = prepared.statement;
    this.parameters = prepared.parameters;
    this.#left = prepared.columns + prepared.parameters;
    if (!this.#capabilities.deprecateEof) {
      this.#left += prepared.parameters > 0 ? 2 : 1;
    }
    this.#phase = "definitions";
  }
}

/** Whether a payload ends the rows, whichever form it has; a row's first byte is another. */
export function endsRows(buffer: Buffer, start: number): boolean {
  return buffer[start] === markers.eof;
}
