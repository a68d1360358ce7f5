import type { Socket } from "node:net";

/** A closing socket gets this long to send what is queued. */
const CLOSE_MS_MAX = 2_000;

/** Sends what is queued, then closes; by force when the peer does not take it in time. */
export async function closeSocket(socket: Socket): Promise<void> {
  if (socket.closed) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => socket.destroy(), CLOSE_MS_MAX);
    socket.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
    socket.end(() => socket.destroy());
  });
}
