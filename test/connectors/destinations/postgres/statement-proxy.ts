/** A proxy before a real server that counts the client's statements and cuts the connection at one of them. */
import { connect, createServer, type Server, type Socket } from "node:net";

/** `before`: the server never gets the statement. `answer`: it does, and its answer is lost. */
export type CutPlace = "before" | "answer";

export interface StatementProxy {
  /** The server's URL, by way of the proxy. */
  readonly url: string;
  /** Statements seen so far, over all connections. */
  readonly statements: number;
  /** The statement that was cut, if it came to that. */
  readonly cutAt: string | null;
  close(): Promise<void>;
}

/** Simple query, and the Parse that begins an extended one. */
const QUERY = 0x51;
const PARSE = 0x50;

/** @param cutNumber from 1; every connection is cut with it, and no new one is let in */
export async function startStatementProxy(
  serverUrl: string,
  cutNumber: number,
  place: CutPlace,
): Promise<StatementProxy> {
  const target = new URL(serverUrl);
  const sockets = new Set<Socket>();
  let statements = 0;
  let cutAt: string | null = null;
  const cutAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const server: Server = createServer((client) => {
    if (cutAt !== null) {
      client.destroy();
      return;
    }
    const upstream = connect(Number(target.port), target.hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    let isAnswerLost = false;
    upstream.on("data", (chunk) => {
      if (isAnswerLost) cutAll();
      else if (cutAt === null) client.write(chunk);
    });
    let pending: Buffer = Buffer.alloc(0);
    let isStarted = false;
    client.on("data", (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      for (;;) {
        // the first message has no type
        const head = isStarted ? 1 : 0;
        if (pending.length < head + 4) return;
        const length = head + pending.readInt32BE(head);
        if (pending.length < length) return;
        const message = pending.subarray(0, length);
        pending = pending.subarray(length);
        if (isStarted && (message[0] === QUERY || message[0] === PARSE)) {
          statements += 1;
          if (statements === cutNumber) {
            cutAt = message.toString("latin1", 5).replaceAll("\0", "");
            if (place === "before") {
              cutAll();
              return;
            }
            isAnswerLost = true;
          }
        }
        isStarted = true;
        upstream.write(message);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string")
    throw new Error("the proxy has no port");
  const url = new URL(serverUrl);
  url.port = String(address.port);
  return {
    url: url.href,
    get statements() {
      return statements;
    },
    get cutAt() {
      return cutAt;
    },
    close: () =>
      new Promise((resolve) => {
        cutAll();
        server.close(() => resolve());
      }),
  };
}
