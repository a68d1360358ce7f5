/**
 * A thread between a ledger and its Postgres that breaks connections at chosen moments. A thread, because the test's
 * own sleeps while the ledger works.
 */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import {
  isMainThread,
  parentPort,
  Worker,
  workerData,
} from "node:worker_threads";

/**
 * `loseReply`: the next commit reaches the server, its answer does not come back. `loseCommit`: the next commit does
 * not reach the server. `refuse`: what is open is broken, and nothing new is let through.
 */
const modes = ["pass", "loseReply", "loseCommit", "refuse"] as const;
export type ProxyMode = (typeof modes)[number];

export interface PostgresProxy {
  readonly url: string;
  set(mode: ProxyMode): void;
  /** Back to `pass` once it has lost what it was to lose. */
  mode(): ProxyMode;
  /** Breaks all connections, once. */
  cut(): Promise<void>;
  close(): Promise<void>;
}

interface ProxyData {
  readonly host: string;
  readonly port: number;
  readonly mode: SharedArrayBuffer;
}

export async function startProxy(url: string): Promise<PostgresProxy> {
  const target = new URL(url);
  const buffer = new SharedArrayBuffer(4);
  const mode = new Int32Array(buffer);
  const data: ProxyData = {
    host: target.hostname,
    port: Number(target.port),
    mode: buffer,
  };
  const worker = new Worker(new URL(import.meta.url), { workerData: data });
  const [port] = (await once(worker, "message")) as [number];
  const through = new URL(url);
  through.host = `127.0.0.1:${port}`;
  return {
    url: through.href,
    set: (name) => void Atomics.store(mode, 0, modes.indexOf(name)),
    mode: () => modes[Atomics.load(mode, 0)] ?? "pass",
    cut: async () => {
      worker.postMessage("cut");
      await once(worker, "message");
    },
    close: async () => void (await worker.terminate()),
  };
}

function serve({ host, port, mode: buffer }: ProxyData): void {
  const mode = new Int32Array(buffer);
  const read = (): ProxyMode => modes[Atomics.load(mode, 0)] ?? "pass";
  const pass = (): void => void Atomics.store(mode, 0, 0);
  const cuts = new Set<() => void>();
  const server = createServer((client) => {
    const upstream = connect(port, host);
    const cut = (): void => {
      client.destroy();
      upstream.destroy();
      cuts.delete(cut);
    };
    cuts.add(cut);
    for (const socket of [client, upstream])
      socket.on("error", cut).on("close", cut);
    if (read() === "refuse") return cut();
    client.on("data", (bytes) => {
      if (read() === "refuse") return cut();
      if (read() === "loseCommit" && bytes.includes("COMMIT\0")) {
        pass();
        return cut();
      }
      upstream.write(bytes);
    });
    upstream.on("data", (bytes) => {
      // the tag of a command that is complete
      if (read() === "loseReply" && bytes.includes("COMMIT\0")) {
        pass();
        return cut();
      }
      client.write(bytes);
    });
  });
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    parentPort?.postMessage(
      address !== null && typeof address === "object" ? address.port : 0,
    );
  });
  parentPort?.on("message", () => {
    for (const cut of cuts) cut();
    parentPort?.postMessage("done");
  });
}

if (!isMainThread && workerData !== null && "mode" in (workerData as object))
  serve(workerData as ProxyData);
