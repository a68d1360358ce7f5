/** What a trigger needs of a daemon, on a real ledger: triggers are recorded, nothing is run. */
import { randomUUID } from "node:crypto";
import type { Ledger } from "../../../checkpoint/store/ledger.ts";
import { uniteScopes, writeScope } from "../../../daemon/service/scope.ts";
import type {
  DaemonEvent,
  DaemonService,
} from "../../../daemon/service/types.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { TriggerLog } from "../../../daemon/triggers/kafka/client.ts";

export interface SmallService extends Pick<
  DaemonService,
  "id" | "trigger" | "settled" | "subscribe"
> {
  /** To whoever has subscribed. */
  tell(event: DaemonEvent): void;
  /** Looked at before each trigger is recorded, and after. */
  before: () => void;
  after: () => void;
}

export function createSmallService(
  ledger: Ledger,
  syncs: readonly string[],
): SmallService {
  const listeners = new Set<(event: DaemonEvent) => void>();
  const service: SmallService = {
    id: randomUUID(),
    before: () => {},
    after: () => {},
    trigger: ({ sync, scope, key, origin }) => {
      service.before();
      if (!syncs.includes(sync))
        throw new ExtractError("SYNC_NOT_FOUND", `there is no sync ${sync}`);
      const receipt = ledger.enqueue({
        ...{ sync, key, dueAt: null },
        originJson: JSON.stringify(origin),
        scopeJson: writeScope(scope),
        message: origin.kind === "kafka" ? origin : null,
        mergeScope: (a, b) => uniteScopes(a, b) ?? a,
      });
      service.after();
      return receipt;
    },
    settled: () => ledger.settled(),
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    tell: (event) => {
      for (const listener of listeners) listener(event);
    },
  };
  return service;
}

/** Lines are kept. */
export function createLog(): TriggerLog & { readonly lines: string[] } {
  const lines: string[] = [];
  const write = (_: object, message: string): void => void lines.push(message);
  return { lines, debug: () => {}, info: write, warn: write, error: write };
}
