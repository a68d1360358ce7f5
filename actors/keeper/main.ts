/** The keeper process: holds one snapshot per source server, and can be adopted over a socket in the run's folder. */
import { createServer, type Server, type Socket } from "node:net";
import { unlinkSync } from "node:fs";
import { createActor, fromPromise } from "xstate";
import { HeldSnapshot } from "../../connectors/sources/postgres/snapshot.ts";
import { parseSourceUrl } from "../../connectors/sources/postgres/url.ts";
import type { KeeperFact, KeeperOrder } from "../../proto/control.ts";
import { toWireError } from "../../proto/error.ts";
import { createLineReader, writeLine } from "../../transport/control-lines.ts";
import { openControlPipe } from "../child.ts";
import { keeperMachine } from "./keeper.machine.ts";

let held: HeldSnapshot | null = null;
let server: Server | null = null;
let socketPath: string | null = null;
let adopter: Socket | null = null;

const send = (order: KeeperOrder): void => {
  if (order.type !== "ping") root.send(order);
};
const pipe = openControlPipe<KeeperOrder, KeeperFact>(send, () => {
  // one that was adopted before it noticed has a bookkeeper
  if (!adopter) root.send({ type: "bookkeeper.gone" });
});

function report(fact: KeeperFact): void {
  if (adopter) writeLine(adopter, fact);
  else pipe.send(fact);
}

function adopt(socket: Socket): void {
  // one bookkeeper at a time: the newer attempt holds the run's lock, so the older one is gone or about to be
  adopter?.destroy();
  adopter = socket;
  const end = (): void => {
    if (adopter !== socket) return;
    adopter = null;
    root.send({ type: "bookkeeper.gone" });
  };
  socket.on("error", end);
  socket.on("close", end);
  createLineReader(socket, {
    onMessage: (message) => {
      const order = message as KeeperOrder;
      if (order.type === "ping")
        writeLine(socket, { type: "pong", id: order.id });
      else root.send(order);
    },
    onEnd: end,
  });
  root.send({ type: "bookkeeper.came" });
}

function listen(path: string): void {
  if (server) return;
  socketPath = path;
  server = createServer(adopt);
  server.on("error", () => {
    // without the socket nobody can adopt the snapshot; the run itself goes on
    server = null;
  });
  server.listen(path);
}

function letGo(): void {
  server?.close();
  if (socketPath) {
    try {
      unlinkSync(socketPath);
    } catch {
      // it is gone with the run's folder
    }
  }
  void Promise.all([pipe.flush(), held?.close()]).finally(() =>
    process.exit(0),
  );
}

const root = createActor(
  keeperMachine.provide({
    actors: {
      openSnapshot: fromPromise(async ({ input }) => {
        held = await HeldSnapshot.open(parseSourceUrl(input.url), {
          onLost: (error: unknown) =>
            root.send({ type: "connection.lost", error: toWireError(error) }),
        });
        const { ref: snapshot, openTransactions } = held;
        return { type: "snapshot.opened", snapshot, openTransactions };
      }),
      lockRelations: fromPromise(async ({ input }) => {
        const problems = (await held?.lockRelations(input.relations)) ?? [];
        return problems.map(({ oid, schema, name, message }) => ({
          oid,
          error: {
            code: "SOURCE_PERMISSION_DENIED" as const,
            message,
            details: { table: `${schema}.${name}` },
          },
        }));
      }),
    },
    actions: {
      report: (_, fact) => report(fact),
      listen: (_, params) => listen(params.socketPath),
      letGo,
    },
  }),
);
root.start();
