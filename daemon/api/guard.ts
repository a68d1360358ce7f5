/** Who is let in: by the Host header, by token, by role. Wrong tokens cost little and are told to the log seldom. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { HttpFault } from "./errors.ts";
import { mayAct, type Caller, type Role } from "./roles.ts";
import type { TokenBook } from "./tokens.ts";

/** Wrong tokens of one address within the window; more are answered without a look. */
export const FAILURES_MAX = 30;
const FAILURES_WINDOW_MS = 60_000;
/** Addresses that are counted at once; the oldest is forgotten for a new one. */
const ADDRESSES_MAX = 1024;

const loopbackHosts = new Set(["localhost", "127.0.0.1", "[::1]", "::1"]);

export function isLoopback(host: string): boolean {
  return (
    loopbackHosts.has(host.toLowerCase()) || /^127\.\d+\.\d+\.\d+$/.test(host)
  );
}

/** The name in a Host header, without its port. */
function hostName(header: string | undefined): string {
  return (header ?? "").toLowerCase().replace(/:\d{1,5}$/, "");
}

interface Failures {
  count: number;
  readonly since: number;
}

export class FailureCount {
  readonly #addresses = new Map<string, Failures>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** How often this address has failed within its window, this time included. */
  add(address: string): number {
    const known = this.#addresses.get(address);
    if (known && this.#now() - known.since < FAILURES_WINDOW_MS) {
      known.count += 1;
      return known.count;
    }
    this.#addresses.delete(address);
    const oldest = this.#addresses.keys().next().value;
    if (this.#addresses.size >= ADDRESSES_MAX && oldest !== undefined)
      this.#addresses.delete(oldest);
    this.#addresses.set(address, { count: 1, since: this.#now() });
    return 1;
  }
}

/** Whom a route asks for; routes that nobody has thought of need a viewer. */
function roleOf(request: FastifyRequest): Role | "public" {
  return request.routeOptions.config.role ?? "viewer";
}

export interface GuardSettings {
  readonly tokens: TokenBook;
  /** Only then the Host header says something: elsewhere a daemon may have any name. */
  readonly isLoopback: boolean;
  readonly warn: (message: string, fields: Record<string, unknown>) => void;
}

export function guard(app: FastifyInstance, settings: GuardSettings): void {
  const failures = new FailureCount();
  app.decorateRequest("caller", null);
  app.addHook("onRequest", async (request, reply) => {
    if (settings.isLoopback) {
      const name = hostName(request.headers.host);
      if (!isLoopback(name))
        throw new HttpFault(
          "HOST_REFUSED",
          "the Host header names another machine",
        );
    }
    const needs = roleOf(request);
    // what is not there asks for nothing: the answer is the same for all
    if (needs === "public" || request.is404) return;
    const caller = findCaller(request, settings.tokens);
    if (caller === null) {
      const count = failures.add(request.ip);
      if (count === 1 || count === FAILURES_MAX)
        settings.warn("a request without a valid token", {
          address: request.ip,
          failures: count,
        });
      if (count > FAILURES_MAX) {
        void reply.header("retry-after", String(FAILURES_WINDOW_MS / 1000));
        throw new HttpFault(
          "TOO_MANY_FAILURES",
          `more than ${FAILURES_MAX} requests without a valid token within a minute`,
        );
      }
      void reply.header("www-authenticate", "Bearer");
      throw new HttpFault(
        "UNAUTHENTICATED",
        request.headers.authorization === undefined
          ? "this needs a token"
          : "the token is not known",
      );
    }
    if (!mayAct(caller.role, needs))
      throw new HttpFault(
        "FORBIDDEN",
        `${caller.name} is ${caller.role}, and this needs ${needs}`,
        { role: caller.role, needs },
      );
    request.caller = caller;
  });
}

function findCaller(request: FastifyRequest, tokens: TokenBook): Caller | null {
  const match = /^Bearer +([\x21-\x7e]+)$/i.exec(
    request.headers.authorization ?? "",
  );
  return match?.[1] === undefined ? null : tokens.find(match[1]);
}
