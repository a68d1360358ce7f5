/** Sockets of a read that has nothing to send: whoever connects hears that its streams are complete, and the end. */
import { createServer } from "node:net";
import type { DataChannel } from "./data-channel.ts";

/** Resolves when all have been served, or nobody came in time. */
export async function serveNothing(
  { paths, format }: Extract<DataChannel, { medium: "sockets" }>,
  messages: readonly string[],
  connectMs: number,
): Promise<void> {
  const text = messages.map((message) => `${message}\n`).join("");
  await Promise.all(
    paths.map(
      (path, index) =>
        new Promise<void>((resolve) => {
          const server = createServer((socket) => {
            clearTimeout(timer);
            server.close();
            socket.on("error", () => resolve());
            // in the binary formats the end of the socket says the same
            socket.end(index === 0 && format === "jsonl" ? text : "", () =>
              resolve(),
            );
          });
          const timer = setTimeout(() => {
            server.close();
            resolve();
          }, connectMs);
          server.on("error", () => {
            clearTimeout(timer);
            resolve();
          });
          server.listen(path);
        }),
    ),
  );
}
