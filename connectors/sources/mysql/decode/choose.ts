/**
 * Which decoder a read uses: interpreted to begin with, which costs nothing to make; generated once a table has proved
 * large enough to pay for the compiler, or at once where an equal table has paid already.
 */
import type { BatchSet } from "../../batches/batch-set.ts";
import type { RowDecoder } from "./decoder.ts";
import {
  compileDecoder,
  generateDecoder,
  type DecoderFactory,
} from "./generated.ts";
import { createInterpretedDecoder } from "./interpreted.ts";
import type { DecodePlan } from "./plan.ts";

export type DecoderChoice = "adaptive" | "generated" | "interpreted";

/**
 * Rows decoded before code is generated. V8 takes 2 ms to optimise a column, and an optimised one takes 5 ns less a row:
 * all is paid for after 400,000 rows more, whatever the table's width. With an idle core beside it that is sooner.
 */
const WARM_UP_ROWS = 200_000;
/** Shapes that are remembered: tables of one shape share one. */
const SHAPES_MAX = 256;

interface Shape {
  /** Null: not compiled yet. */
  factory: DecoderFactory | null;
  /** Counted over all reads: a table's partitions may be small. */
  rowsLeft: number;
}

const shapes = new Map<string, Shape>();
let codeGenerationAllowed = true;

export function createDecoder(
  plan: DecodePlan,
  choice: DecoderChoice = "adaptive",
): RowDecoder {
  if (choice === "interpreted") return createInterpretedDecoder(plan);
  const shape = findShape(plan);
  if (choice === "generated" || shape.factory !== null)
    return createCompiled(plan, shape);
  return createAdaptiveDecoder(plan, shape);
}

/** The same for fields whose generated text is the same. */
function findShape({ fields }: DecodePlan): Shape {
  const name = fields.map(({ kind, scale }) => `${kind} ${scale}`).join();
  const known = shapes.get(name);
  if (known !== undefined) return known;
  const oldest = shapes.keys().next();
  if (shapes.size >= SHAPES_MAX && !oldest.done) shapes.delete(oldest.value);
  const shape: Shape = { factory: null, rowsLeft: WARM_UP_ROWS };
  shapes.set(name, shape);
  return shape;
}

function createAdaptiveDecoder(plan: DecodePlan, shape: Shape): RowDecoder {
  let decoder = createInterpretedDecoder(plan);
  let isWarm = false;
  return {
    decode(set: BatchSet, source, view, start, end, largeBytes) {
      if (isWarm)
        return decoder.decode(set, source, view, start, end, largeBytes);
      const before = set.rowCount;
      const offset = decoder.decode(set, source, view, start, end, largeBytes);
      shape.rowsLeft -= set.rowCount - before;
      if (shape.rowsLeft <= 0) {
        isWarm = true;
        decoder = createCompiled(plan, shape);
      }
      return offset;
    },
  };
}

/** The generated decoder, or the interpreted one where the runtime allows no code from text. */
function createCompiled(plan: DecodePlan, shape: Shape): RowDecoder {
  if (shape.factory !== null) return shape.factory(plan);
  if (!codeGenerationAllowed) return createInterpretedDecoder(plan);
  try {
    shape.factory = compileDecoder(generateDecoder(plan.fields));
    return shape.factory(plan);
  } catch (error) {
    if (!(error instanceof EvalError)) throw error;
    codeGenerationAllowed = false;
    return createInterpretedDecoder(plan);
  }
}
