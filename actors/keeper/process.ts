/**
 * A keeper, wherever it lives: holds one snapshot of a source server. One that may outlive its bookkeeper can be adopted
 * over a socket in the run's folder.
 */
import { createServer, type Server, type Socket } from "node:net";
import { unlinkSync } from "node:fs";
import { createActor, type Actor } from "xstate";
import { loadSource } from "../../connectors/sources/index.ts";
import type {
  HeldSnapshot,
  SourceDriver,
} from "../../connectors/sources/source.ts";
import type {
  KeeperFact,
  KeeperOrder,
  LogOpenOrder,
} from "../../proto/control.ts";
import { ExtractError, toWireError } from "../../proto/error.ts";
import { createLineReader, writeLine } from "../../transport/control-lines.ts";
import type { ControlPipe } from "../child.ts";
import { fromEffect, giveEffects } from "../effects.ts";
import { inspectChild } from "../inspect.ts";
import { createLog } from "../log.ts";
import type { Hosted, Surroundings } from "../surroundings.ts";
import { keeperMachine } from "./keeper.machine.ts";

type LockProblems = Extract<
  KeeperFact,
  { type: "snapshot.locked" }
>["problems"];

export type KeeperSurroundings = Surroundings<KeeperOrder, KeeperFact>;

/** Waits for its orders, and ends by the surroundings' `exit`. */
export function startKeeper(surroundings: KeeperSurroundings): Hosted {
  return new KeeperProcess(surroundings);
}

class KeeperProcess implements Hosted {
  readonly #surroundings: KeeperSurroundings;
  readonly #log = createLog("keeper");
  readonly #pipe: ControlPipe<KeeperFact>;
  readonly #root: Actor<typeof keeperMachine>;
  #driver: SourceDriver | null = null;
  #held: HeldSnapshot | null = null;
  #server: Server | null = null;
  #socketPath: string | null = null;
  #adopter: Socket | null = null;
  #isInspected = false;
  #warningsTold = 0;
  #isLetGo = false;
  #isDestroyed = false;

  constructor(surroundings: KeeperSurroundings) {
    this.#surroundings = surroundings;
    this.#root = createActor(this.#provide());
    this.#pipe = surroundings.open(
      (order) => this.#follow(order),
      () => {
        // one that was adopted before it noticed has a bookkeeper
        if (!this.#adopter) this.#orphan();
      },
    );
    this.#root.start();
  }

  async destroy(): Promise<void> {
    this.#isDestroyed = true;
    this.#root.stop();
    this.#adopter?.destroy();
    this.#server?.close();
    if (!this.#isLetGo)
      await this.#held?.close().catch(() => {
        // the server ends its transaction with its connection
      });
  }

  #follow(order: KeeperOrder): void {
    if (order.type === "keeper.inspect") this.#startInspecting();
    else if (order.type !== "ping") this.#root.send(order);
  }

  #orphan(): void {
    if (this.#root.getSnapshot().status !== "active") return;
    // the sessions that read it are gone as well, and no others can join
    if (
      this.#driver?.joins === "at-the-start" ||
      !this.#surroundings.outlivesBookkeeper
    ) {
      this.#root.send({ type: "keeper.release" });
      return;
    }
    // nobody else is left to tell it to
    this.#log.write(
      "info",
      "the bookkeeper is gone: the snapshot is held for its grace",
    );
    this.#root.send({ type: "bookkeeper.gone" });
  }

  #report(fact: KeeperFact): void {
    if (fact.type === "snapshot.opened")
      this.#log.write("debug", "snapshot held", { snapshot: fact.snapshot.id });
    else if (fact.type === "snapshot.lost")
      this.#log.write("info", fact.error.message, { code: fact.error.code });
    if (this.#adopter) writeLine(this.#adopter, fact);
    else this.#pipe.send(fact);
  }

  #startInspecting(): void {
    if (this.#isInspected) return;
    this.#isInspected = true;
    inspectChild("keeper", this.#root, {
      offer: (lines) => {
        if (!this.#adopter) return this.#pipe.offer(lines);
        // the few that there are
        writeLine(this.#adopter, { type: "inspected", lines });
        return true;
      },
      beforeFlush: (prepare) => this.#pipe.beforeFlush(prepare),
    });
  }

  #tellWarnings({ warnings = [] }: HeldSnapshot): void {
    for (const message of warnings.slice(this.#warningsTold))
      this.#report({ type: "warning", message });
    this.#warningsTold = warnings.length;
  }

  #adopt(socket: Socket): void {
    // one bookkeeper at a time: the newer attempt holds the run's lock, so the older one is gone or about to be
    this.#adopter?.destroy();
    this.#adopter = socket;
    const end = (): void => {
      if (this.#adopter !== socket) return;
      this.#adopter = null;
      this.#orphan();
    };
    socket.on("error", end);
    socket.on("close", end);
    createLineReader(socket, {
      onMessage: (message) => {
        const order = message as KeeperOrder;
        if (order.type === "ping")
          writeLine(socket, { type: "pong", id: order.id });
        else this.#follow(order);
      },
      onEnd: end,
    });
    this.#root.send({ type: "bookkeeper.came" });
  }

  #listen(path: string): void {
    if (this.#server || !this.#surroundings.outlivesBookkeeper) return;
    this.#socketPath = path;
    this.#server = createServer((socket) => this.#adopt(socket));
    this.#server.on("error", () => {
      // without the socket nobody can adopt the snapshot; the run itself goes on
      this.#server = null;
    });
    this.#server.listen(path);
  }

  #letGo(): void {
    this.#isLetGo = true;
    this.#server?.close();
    if (this.#socketPath) {
      try {
        unlinkSync(this.#socketPath);
      } catch {
        // it is gone with the run's folder
      }
    }
    void Promise.allSettled([this.#pipe.flush(), this.#held?.close()]).then(
      () => this.#surroundings.exit(0),
    );
  }

  async #open(
    url: string,
    log: LogOpenOrder | null,
  ): Promise<Extract<KeeperFact, { type: "snapshot.opened" }>> {
    const driver = await loadSource(url);
    this.#driver = driver;
    const held = await driver.holdSnapshot(
      url,
      (error) =>
        this.#root.send({ type: "connection.lost", error: toWireError(error) }),
      log,
    );
    this.#held = held;
    if (this.#isDestroyed) await held.close();
    this.#tellWarnings(held);
    const { ref: snapshot, openTransactions } = held;
    const { joins } = driver;
    const opened = { snapshot, openTransactions, joins };
    return {
      type: "snapshot.opened",
      ...opened,
      ...(held.log ? { log: held.log } : {}),
    };
  }

  /** What has changed between the snapshot and the locks is seen by a new snapshot, as a rewritten table is. */
  async #lockUnchanged(
    relations: Parameters<HeldSnapshot["lockRelations"]>[0],
  ): ReturnType<HeldSnapshot["lockRelations"]> {
    try {
      return (await this.#held?.lockRelations(relations)) ?? [];
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

  async #lock(
    relations: Parameters<HeldSnapshot["lockRelations"]>[0],
  ): Promise<LockProblems> {
    const problems = await this.#lockUnchanged(relations);
    // whether all have joined one snapshot may be known only now
    if (this.#held) this.#tellWarnings(this.#held);
    return problems.map(({ oid, schema, name, message }) => ({
      oid,
      error: {
        code: "SOURCE_PERMISSION_DENIED" as const,
        message,
        details: { table: `${schema}.${name}` },
      },
    }));
  }

  #provide(): typeof keeperMachine {
    return giveEffects(keeperMachine, {
      actors: {
        openSnapshot: fromEffect(({ input }) =>
          this.#open(input.url, input.log ?? null),
        ),
        lockRelations: fromEffect(({ input }) => this.#lock(input.relations)),
      },
      actions: {
        report: (_, fact) => this.#report(fact),
        listen: (_, params) => this.#listen(params.socketPath),
        letGo: () => this.#letGo(),
      },
    });
  }
}
