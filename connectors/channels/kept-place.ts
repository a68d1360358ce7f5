/**
 * An engine for a run whose ledger goes with it. What the run has read is durable only where somebody else has its
 * states, and nobody knows which of them he has but the one that the run has begun with: the source may forget what is
 * before that place, and no more.
 */
import type {
  EngineMessage,
  EngineOffset,
} from "../sources/debezium/engine/protocol.ts";
import type { LogEngine } from "./log-rows.ts";

/** @param offset where the run begins; null: the source has been told nothing */
export function keepPlace(engine: LogEngine, offset: string | null): LogEngine {
  const tell = (): void => {
    if (offset !== null) engine.ack(offset as EngineOffset);
  };
  return {
    messages: () => tellWhenReady(engine.messages(), tell),
    ack: () => {},
    drain: () => engine.drain(),
    kill: () => engine.kill(),
    abandon: () => engine.abandon?.(),
  };
}

async function* tellWhenReady(
  messages: AsyncGenerator<readonly EngineMessage[], void>,
  tell: () => void,
): AsyncGenerator<readonly EngineMessage[], void> {
  for await (const some of messages) {
    if (some.some(({ type }) => type === "ready")) tell();
    yield some;
  }
}
