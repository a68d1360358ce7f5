/** Tells a path that is not there from one that is there for other methods. */
import type { FastifyInstance } from "fastify";

interface KnownRoute {
  readonly method: string;
  readonly pattern: RegExp;
}

export class KnownRoutes {
  readonly #routes: KnownRoute[] = [];

  /** Before the first route. */
  constructor(app: FastifyInstance) {
    app.addHook("onRoute", ({ method, url }) => {
      const source = url
        .split("/")
        .map((part) =>
          part.startsWith(":")
            ? "[^/]+"
            : part.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*"),
        )
        .join("/");
      for (const one of [method].flat())
        this.#routes.push({ method: one, pattern: new RegExp(`^${source}$`) });
    });
  }

  /** The methods that a path takes; empty for one that is not there. */
  methodsOf(url: string): string[] {
    const path = url.split("?")[0] ?? "";
    const methods = this.#routes
      .filter(({ pattern }) => pattern.test(path))
      .map(({ method }) => method);
    return [...new Set(methods)].toSorted();
  }
}
