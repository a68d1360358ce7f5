/** A proxy before a real server that lets so much of each connection through, and the rest once it is opened. */
import { connect, createServer, type Socket } from "node:net";

export interface GatedProxy {
  /** The server's URL, by way of the proxy. */
  readonly url: string;
  open(): void;
  close(): Promise<void>;
}

/** @param bytes of each connection that the server may send before it is opened */
export async function startGatedProxy(
  serverUrl: string,
  bytes: number,
): Promise<GatedProxy> {
  const target = new URL(serverUrl);
  const sockets = new Set<Socket>();
  const held = new Set<Socket>();
  let isOpen = false;
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    let left = bytes;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => {
        for (const one of [client, upstream]) {
          one.destroy();
          sockets.delete(one);
          held.delete(one);
        }
      });
    }
    client.pipe(upstream);
    upstream.on("data", (chunk: Buffer) => {
      left -= chunk.length;
      if (!client.write(chunk)) {
        upstream.pause();
        client.once("drain", () => {
          if (!held.has(upstream)) upstream.resume();
        });
      }
      if (isOpen || left > 0) return;
      held.add(upstream);
      upstream.pause();
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
    open: () => {
      isOpen = true;
      for (const socket of held) socket.resume();
      held.clear();
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
