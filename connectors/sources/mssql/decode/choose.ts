/**
 * Which decoder a read uses: interpreted to begin with, which costs nothing to make; generated once a table has proved
 * large enough to pay for the compiler, or at once where an equal table has paid already.
 */
import type { RowDecoder } from "./decoder.ts";
import {
  compileDecoder,
  generateDecoder,
  GENERATED_FIELDS_MAX,
  type DecoderFactory,
} from "./generated.ts";
import { createInterpretedDecoder } from "./interpreted.ts";
import type { DecodePlan } from "./plan.ts";

export type DecoderChoice = "adaptive" | "generated" | "interpreted";

/** Fields decoded before code is generated: about 8 ms of work. */
const WARM_UP_FIELDS = 300_000;
/** Compiled decoders that are kept, by their text: tables of one shape share one. */
const FACTORIES_MAX = 256;

const factories = new Map<string, DecoderFactory>();
let codeGenerationAllowed = true;

export function createDecoder(
  plan: DecodePlan,
  choice: DecoderChoice = "adaptive",
): RowDecoder {
  const { fields } = plan;
  if (choice === "interpreted" || fields.length > GENERATED_FIELDS_MAX) {
    return createInterpretedDecoder(plan);
  }
  const text = generateDecoder(fields);
  const known = factories.get(text);
  if (known !== undefined) return known(plan);
  if (choice === "generated") return createCompiled(plan, text);
  return createAdaptiveDecoder(plan, text);
}

function createAdaptiveDecoder(plan: DecodePlan, text: string): RowDecoder {
  let decoder = createInterpretedDecoder(plan);
  let rowsLeft = WARM_UP_FIELDS / Math.max(1, plan.fields.length);
  return {
    rowBytesWanted: 1,
    decode(set, source, view, start, end, rowsMax) {
      const before = set.rowCount;
      const offset = decoder.decode(set, source, view, start, end, rowsMax);
      this.rowBytesWanted = decoder.rowBytesWanted;
      if (rowsLeft > 0) {
        rowsLeft -= set.rowCount - before;
        if (rowsLeft <= 0) decoder = createCompiled(plan, text);
      }
      return offset;
    },
  };
}

/** The generated decoder, or the interpreted one where the runtime allows no code from text. */
function createCompiled(plan: DecodePlan, text: string): RowDecoder {
  const known = factories.get(text);
  if (known !== undefined) return known(plan);
  if (!codeGenerationAllowed) return createInterpretedDecoder(plan);
  try {
    const factory = compileDecoder(text);
    const oldest = factories.keys().next();
    if (factories.size >= FACTORIES_MAX && !oldest.done) {
      factories.delete(oldest.value);
    }
    factories.set(text, factory);
    return factory(plan);
  } catch (error) {
    if (!(error instanceof EvalError)) throw error;
    codeGenerationAllowed = false;
    return createInterpretedDecoder(plan);
  }
}
