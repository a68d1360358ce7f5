/** What all routes work with. */
import type { FastifyRequest } from "fastify";
import type { DaemonService } from "../../service/types.ts";
import type { TriggerHealth } from "../../triggers/trigger-health.ts";
import type { EventRing } from "../event-ring.ts";
import type { History, RunFinder } from "../history.ts";
import type { Metrics } from "../metrics.ts";
import type { SecretCover } from "../secrets.ts";
import { reference, type Schema } from "../schemas.ts";

export interface RouteContext {
  readonly service: DaemonService;
  readonly history: History;
  readonly finder: RunFinder;
  readonly ring: EventRing;
  readonly metrics: Metrics;
  readonly cover: SecretCover;
  readonly triggers: () => readonly TriggerHealth[];
  readonly version: string;
  /** An order that was given, for the log. */
  readonly noteOrder: (
    request: FastifyRequest,
    fields: Readonly<Record<string, string>>,
  ) => void;
}

export const API = "/api/v1";

/** Of routes that ask for a token; `public` ones leave it out. */
const faults: Readonly<Record<string, Schema>> = {
  "4xx": { description: "The caller's fault.", ...content("Error") },
  "5xx": { description: "The daemon's fault.", ...content("Error") },
};

function content(name: string): Schema {
  return { content: { "application/json": { schema: reference(name) } } };
}

/** The answers of a route: the good one, and the one shape of all faults. */
export function answers(
  status: 200 | 202,
  description: string,
  schema: Schema,
): Schema {
  return {
    [status]: {
      description,
      content: { "application/json": { schema } },
    },
    ...faults,
  };
}

/** Who has sent an order. Routes that give orders are never public. */
export function nameCaller(request: FastifyRequest): string {
  return request.caller?.name ?? "nobody";
}
