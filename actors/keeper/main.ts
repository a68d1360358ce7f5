/** The keeper process: holds one snapshot per source server, and can be adopted over a socket in the run's folder. */
import { createServer, type Server, type Socket } from "node:net";
import { unlinkSync } from "node:fs";
import { createActor, fromPromise } from "xstate";
import { loadSource } from "../../connectors/sources/index.ts";
import type {
  HeldSnapshot,
  SourceDriver,
} from "../../connectors/sources/source.ts";
import type { KeeperFact, KeeperOrder } from "../../proto/control.ts";
import { ExtractError, toWireError } from "../../proto/error.ts";
import { createLineReader, writeLine } from "../../transport/control-lines.ts";
import { openControlPipe } from "../child.ts";
import { createLog } from "../log.ts";
import { keeperMachine } from "./keeper.machine.ts";

const log = createLog("keeper");
let driver: SourceDriver | null = null;
let held: HeldSnapshot | null = null;
let server: Server | null = null;
let socketPath: string | null = null;
let adopter: Socket | null = null;

const send = (order: KeeperOrder): void => {
  if (order.type !== "ping") root.send(order);
};
const pipe = openControlPipe<KeeperOrder, KeeperFact>(send, () => {
  // one that was adopted before it noticed has a bookkeeper
  if (!adopter) orphan();
});

function orphan(): void {
  if (root.getSnapshot().status !== "active") return;
  // the sessions that read it are gone as well, and no others can join
  if (driver?.joins === "at-the-start") {
    root.send({ type: "keeper.release" });
    return;
  }
  // nobody else is left to tell it to
  log.write(
    "info",
    "the bookkeeper is gone: the snapshot is held for its grace",
  );
  root.send({ type: "bookkeeper.gone" });
}

function report(fact: KeeperFact): void {
  if (fact.type === "snapshot.opened")
    log.write("debug", "snapshot held", { snapshot: fact.snapshot.id });
  else if (fact.type === "snapshot.lost")
    log.write("info", fact.error.message, { code: fact.error.code });
  if (adopter) writeLine(adopter, fact);
  else pipe.send(fact);
}

let warningsTold = 0;

function tellWarnings({ warnings = [] }: HeldSnapshot): void {
  for (const message of warnings.slice(warningsTold))
    report({ type: "warning", message });
  warningsTold = warnings.length;
}

function adopt(socket: Socket): void {
  // one bookkeeper at a time: the newer attempt holds the run's lock, so the older one is gone or about to be
  adopter?.destroy();
  adopter = socket;
  const end = (): void => {
    if (adopter !== socket) return;
    adopter = null;
    orphan();
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

/** What has changed between the snapshot and the locks is seen by a new snapshot, as a rewritten table is. */
async function lockUnchanged(
  relations: Parameters<HeldSnapshot["lockRelations"]>[0],
): ReturnType<HeldSnapshot["lockRelations"]> {
  try {
    return (await held?.lockRelations(relations)) ?? [];
  } catch (error) {
    if (
      !(error instanceof ExtractError) ||
      error.code !== "SOURCE_SCHEMA_CHANGED"
    ) {
      throw error;
    }
    const { message, details } = error;
    throw new ExtractError(
      "SOURCE_SNAPSHOT_LOST",
      message,
      { ...details, reason: "changed" },
      { cause: error },
    );
  }
}

const root = createActor(
  keeperMachine.provide({
    actors: {
      openSnapshot: fromPromise(async ({ input }) => {
        driver = await loadSource(input.url);
        held = await driver.holdSnapshot(input.url, (error) =>
          root.send({ type: "connection.lost", error: toWireError(error) }),
        );
        tellWarnings(held);
        const { ref: snapshot, openTransactions } = held;
        const { joins } = driver;
        return { type: "snapshot.opened", snapshot, openTransactions, joins };
      }),
      lockRelations: fromPromise(async ({ input }) => {
        const problems = await lockUnchanged(input.relations);
        // whether all have joined one snapshot may be known only now
        if (held) tellWarnings(held);
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
