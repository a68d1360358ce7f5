/** Who may do what. A route says in its `config.role` whom it needs; one that says nothing needs a viewer. */
import type { Role } from "../config-daemon.ts";

export type { Role } from "../config-daemon.ts";

/** `viewer` reads, `operator` also starts and stops, `admin` also makes a sync forget what it has copied. */
const ranks: Readonly<Record<Role, number>> = {
  viewer: 1,
  operator: 2,
  admin: 3,
};

/** Who sent a request: the name of a token, never the token. */
export interface Caller {
  readonly name: string;
  readonly role: Role;
}

export function mayAct(has: Role, needs: Role): boolean {
  return ranks[has] >= ranks[needs];
}

declare module "fastify" {
  interface FastifyContextConfig {
    /** `public`: no token is asked for, so nothing of a run may be in the answer. */
    role?: Role | "public";
  }
  interface FastifyRequest {
    /** Null on public routes. */
    caller: Caller | null;
  }
}
