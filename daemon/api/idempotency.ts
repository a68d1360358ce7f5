/** Requests that were sent twice with one Idempotency-Key are one. */
import { createHash } from "node:crypto";
import type { TriggerReceipt } from "../service/types.ts";
import { HttpFault } from "./errors.ts";

/** The oldest is forgotten for a new one. */
const KEYS_KNOWN_MAX = 4096;

interface Known {
  readonly fingerprint: string;
  readonly receipt: TriggerReceipt;
}

export class IdempotencyKeys {
  readonly #known = new Map<string, Known>();

  /**
   * Does the work once for a key of a caller.
   * @throws HttpFault IDEMPOTENCY_CONFLICT when the key was used for another request
   */
  once(
    caller: string,
    key: string,
    request: unknown,
    work: () => TriggerReceipt,
  ): TriggerReceipt {
    const place = JSON.stringify([caller, key]);
    const fingerprint = createHash("sha256")
      .update(JSON.stringify(request))
      .digest("hex");
    const known = this.#known.get(place);
    if (known) {
      if (known.fingerprint !== fingerprint)
        throw new HttpFault(
          "IDEMPOTENCY_CONFLICT",
          "this Idempotency-Key came with another request before",
        );
      return { queueId: known.receipt.queueId, result: "known" };
    }
    const receipt = work();
    const oldest = this.#known.keys().next().value;
    if (this.#known.size >= KEYS_KNOWN_MAX && oldest !== undefined)
      this.#known.delete(oldest);
    this.#known.set(place, { fingerprint, receipt });
    return receipt;
  }
}
