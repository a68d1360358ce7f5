import { connect, type OnReadOpts, type Socket } from "node:net";

/** Null: nobody listens there, or not yet. */
export function tryConnect(
  path: string,
  onread?: OnReadOpts,
): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect(onread ? { path, onread } : { path });
    socket.once("error", () => resolve(null));
    socket.once("connect", () => resolve(socket));
  });
}
