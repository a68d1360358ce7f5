/** Replaces values by the SHA-256 of salt and value; NULL stays NULL. */
import { hash } from "node:crypto";
import type { ColumnVector } from "../../proto/columns.ts";
import type { MapperStep } from "./config.ts";
import { mapColumns, type PlannedStep, type StepContext } from "./step.ts";
import { ValueBytes } from "./value-bytes.ts";

const DIGEST_BYTES = 32;
/** The buffer for salt and value is given back above this. */
const MESSAGE_BYTES_KEPT = 1024 * 1024;

export function planHash(
  { columns, salt = "", output = "hex" }: NonNullable<MapperStep["hash"]>,
  context: StepContext,
): PlannedStep {
  const indexes = context.findEach(columns, ["hash", "columns"]);
  const hashed = new Map(
    indexes.map((i) => {
      const { column, isOrder, isInPositions } = context.columns[i]!;
      if (isOrder)
        context.fail(
          ["hash", "columns"],
          `the newest row is found by ${column.name}: it cannot be hashed`,
        );
      // equal values stay equal, so a hashed key is still a key
      if (isInPositions) context.warnOfPositions(column.name);
      return [i, new HashedColumn(new ValueBytes(column.type), salt, output)];
    }),
  );
  return {
    columns: context.columns.map((tracked, i) =>
      hashed.has(i)
        ? {
            ...tracked,
            column: {
              ...tracked.column,
              type: { kind: output === "hex" ? "text" : "binary" },
              sourceType: `sha256(${tracked.column.sourceType})`,
            },
          }
        : tracked,
    ),
    apply: mapColumns(indexes, (vector, rowCount, i) =>
      hashed.get(i)!.apply(vector, rowCount),
    ),
  };
}

class HashedColumn {
  readonly #values: ValueBytes;
  readonly #salt: Buffer;
  readonly #output: "hex" | "binary";
  /** The salt, and behind it the value. */
  #message: Buffer;

  constructor(values: ValueBytes, salt: string, output: "hex" | "binary") {
    this.#values = values;
    this.#salt = Buffer.from(salt, "utf8");
    this.#output = output;
    this.#message = this.#makeMessage(256);
  }

  apply(vector: ColumnVector, rowCount: number): ColumnVector {
    const isHex = this.#output === "hex";
    const width = isHex ? DIGEST_BYTES * 2 : DIGEST_BYTES;
    const data = Buffer.from(
      new ArrayBuffer((rowCount - vector.nullCount) * width),
    );
    const offsets = new Int32Array(rowCount + 1);
    const values = this.#values;
    values.bind(vector, rowCount);
    let at = 0;
    for (let row = 0; row < rowCount; row++) {
      if (values.locate(row)) {
        // as text, which costs a third of what a buffer of its own for each would
        const digest = hash("sha256", this.#fillMessage(), "hex");
        data.write(digest, at, isHex ? "latin1" : "hex");
        at += width;
      }
      offsets[row + 1] = at;
    }
    values.unbind();
    if (this.#message.length > MESSAGE_BYTES_KEPT)
      this.#message = this.#makeMessage(256);
    const { nullCount, validity } = vector;
    return { nullCount, validity, offsets, data: new Uint8Array(data.buffer) };
  }

  #fillMessage(): Buffer {
    const { bytes, start, end } = this.#values;
    const from = this.#salt.length;
    const length = from + end - start;
    if (length > this.#message.length)
      this.#message = this.#makeMessage(2 * length);
    const message = this.#message;
    if (end - start > 32) message.set(bytes.subarray(start, end), from);
    else
      for (let i = start; i < end; i++) message[from + i - start] = bytes[i]!;
    return message.subarray(0, length);
  }

  #makeMessage(valueBytes: number): Buffer {
    const message = Buffer.alloc(this.#salt.length + valueBytes);
    message.set(this.#salt);
    return message;
  }
}
