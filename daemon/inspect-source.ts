/** Looks at a source without moving a row: a source process of its own answers, and ends. */
import type {
  DiscoveredStream,
  Discovery,
  StreamSelection,
} from "../connectors/sources/source.ts";
import type {
  SourceFact,
  SourceOrder,
  SourceSettings,
} from "../proto/control.ts";
import { ExtractError, fromWireError } from "../proto/error.ts";
import type { Plan } from "../proto/partition.ts";
import { availableParallelism } from "node:os";
import { startChild, type Child } from "./processes.ts";
import { requestDefaults, type SyncRequest } from "./request.ts";

/** A server that does not answer is given up on by its own connect timeout, long before this. */
const ANSWER_MS_MAX = 300_000;

type FactOf<Type extends SourceFact["type"]> = Extract<
  SourceFact,
  { type: Type }
>;

class SourceInspection {
  readonly #child: Child;
  #waiting: {
    readonly type: string;
    resolve(fact: SourceFact): void;
    reject(error: Error): void;
  } | null = null;

  constructor() {
    this.#child = startChild("source", {
      onFact: (fact) => this.#receive(fact as SourceFact),
      onProtocolMessage: () => {},
      onExit: (description) => {
        this.#waiting?.reject(
          new ExtractError(
            "PROCESS_DIED",
            `the source process ended early: ${description}`,
            { role: "source" },
          ),
        );
      },
    });
  }

  #receive(fact: SourceFact): void {
    const waiting = this.#waiting;
    if (!waiting) return;
    if (fact.type === "process.failed" || fact.type === "stream.failed")
      waiting.reject(fromWireError(fact.error));
    else if (fact.type === waiting.type) waiting.resolve(fact);
  }

  /** Sends an order and waits for the fact that answers it. */
  async ask<Type extends SourceFact["type"]>(
    order: SourceOrder,
    answer: Type,
  ): Promise<FactOf<Type>> {
    const { promise, resolve, reject } = Promise.withResolvers<SourceFact>();
    this.#waiting = { type: answer, resolve, reject };
    const timer = setTimeout(
      () =>
        reject(
          new ExtractError(
            "PEER_STALLED",
            `no answer to ${order.type} within ${ANSWER_MS_MAX} ms`,
          ),
        ),
      ANSWER_MS_MAX,
    );
    try {
      this.#child.send(order);
      return (await promise) as FactOf<Type>;
    } finally {
      clearTimeout(timer);
      this.#waiting = null;
    }
  }

  async end(): Promise<void> {
    await this.#child.end();
  }
}

async function inspect<T>(
  settings: Partial<SourceSettings> & { readonly url: string },
  work: (source: SourceInspection, serverVersion: number) => Promise<T>,
): Promise<T> {
  const source = new SourceInspection();
  try {
    const { serverVersion } = await source.ask(
      {
        type: "source.open",
        settings: {
          attempt: { runId: "inspection", epoch: 0 },
          socketDir: "",
          // no rows, no sockets
          channelsMax: 0,
          readers: null,
          checkpointEveryMs: 300_000,
          rowBytesMax: 0,
          policy: "error",
          partitionBy: "auto",
          partitionBytesMin: requestDefaults.partitionBytesMin,
          mappers: null,
          times: { handshakeMs: 0, probeMs: 0, probeDeadlineMs: 0 },
          inspect: false,
          ...settings,
        },
      },
      "source.connected",
    );
    return await work(source, serverVersion);
  } finally {
    await source.end();
  }
}

async function askDiscovery(
  source: SourceInspection,
  selection: StreamSelection,
  serverVersion: number,
): Promise<Discovery> {
  const { streams, problems, warnings } = await source.ask(
    { type: "source.discover", snapshot: null, numbers: null, ...selection },
    "source.discovered",
  );
  return {
    serverVersion,
    warnings,
    streams: streams as readonly DiscoveredStream[],
    problems: problems.map(({ namespace, name, relationKind, error }) => ({
      namespace,
      name,
      relationKind: relationKind as DiscoveredStream["relationKind"],
      code:
        error.code === "SOURCE_PERMISSION_DENIED"
          ? error.code
          : "SOURCE_QUERY_FAILED",
      message: error.message,
    })),
  };
}

/** @throws ExtractError SOURCE_UNREACHABLE, SOURCE_AUTH_FAILED, SOURCE_TLS_FAILED, USAGE */
export async function checkSource(url: string): Promise<void> {
  await inspect({ url, isCheck: true }, async () => {});
}

/** @throws ExtractError as `checkSource`, and SOURCE_TABLE_NOT_FOUND, SOURCE_COLUMN_NOT_FOUND */
export async function discoverSource(
  url: string,
  selection: StreamSelection,
): Promise<Discovery> {
  return inspect({ url }, (source, serverVersion) =>
    askDiscovery(source, selection, serverVersion),
  );
}

/** The plan that a sync of this request would take now; a run takes its own, under its own snapshot. */
export async function planSource(
  url: string,
  selection: StreamSelection,
  request: Pick<
    SyncRequest,
    | "where"
    | "cursor"
    | "cursorLagSeconds"
    | "channels"
    | "readers"
    | "checkpointEverySeconds"
    | "partitionBy"
    | "partitionBytesMin"
  >,
): Promise<{ readonly discovery: Discovery; readonly plans: readonly Plan[] }> {
  const {
    where,
    cursor,
    cursorLagSeconds,
    channels,
    readers,
    checkpointEverySeconds,
    partitionBy,
    partitionBytesMin,
  } = request;
  const settings = {
    url,
    readers: readers ?? channels ?? 2 * availableParallelism(),
    checkpointEveryMs: checkpointEverySeconds * 1000,
    partitionBy,
    partitionBytesMin,
  };
  return inspect(settings, async (source, serverVersion) => {
    const discovery = await askDiscovery(source, selection, serverVersion);
    const plans: Plan[] = [];
    for (const { schema } of discovery.streams) {
      const { plan } = await source.ask(
        {
          type: "source.plan",
          stream: schema.number,
          where,
          cursor:
            cursor === null
              ? null
              : {
                  column: cursor,
                  state: null,
                  lagSeconds: cursorLagSeconds,
                  openTransactions: null,
                },
        },
        "stream.planned",
      );
      plans.push(plan);
    }
    return { discovery, plans };
  });
}
