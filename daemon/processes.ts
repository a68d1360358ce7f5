/** The bookkeeper's children: started, ordered over file descriptor 3, listened to, pinged, ended. */
import type { ChildProcess } from "node:child_process";
import { connect } from "node:net";
import type { Duplex, Readable } from "node:stream";
import type { Role } from "../actors/run/run.machine.ts";
import {
  isAlive,
  processStartTime,
} from "../checkpoint/store/process-identity.ts";
import { toWireError, type ExtractError } from "../proto/error.ts";
import { createLineReader, writeLine } from "../transport/control-lines.ts";
import { spawnChild, takeWarm, type SpawnOptions } from "./spawn.ts";

/** A child that is told to end gets this long before it is killed. */
const KILL_AFTER_MS = 3_000;
const CONTROL_FD = 3;
/** One line of a child's stdout: a state is far smaller. */
const PROTOCOL_LINE_BYTES_MAX = 16 * 1024 * 1024;

export interface ChildListener {
  onFact(fact: { readonly type: string }): void;
  /** One message of the child's stdout. */
  onProtocolMessage(message: unknown): void;
  onExit(description: string): void;
}

export interface Child {
  readonly role: Role;
  /** Null: it lives in this process. */
  readonly pid: number | null;
  readonly startTime: string | null;
  send(order: { readonly type: string }): void;
  /** SIGTERM, and SIGKILL when that does not help. Resolves when the process is gone. */
  end(): Promise<void>;
  /** SIGKILL: for one that would not hear anything else. */
  kill(): void;
  /** Waits until it has gone by itself; ends it when that takes too long. */
  leave(): Promise<void>;
  /** Lets the child live on without us: nothing of it keeps this process alive. */
  detach(): void;
}

/** @param how of a process that is not like the others; null: any will do, also one that was started before */
export function startChild(
  role: Role,
  listener: ChildListener,
  how: SpawnOptions | null = null,
): Child {
  const warm = takeWarm(role);
  if (how) warm?.kill();
  const child = (how ? null : warm) ?? spawnChild(role, how ?? undefined);
  const control = child.stdio[CONTROL_FD] as Duplex;
  control.on("error", () => {
    // the exit that follows says more
  });
  // who cannot be understood any more would be waited for in vain; one that broke off is followed by its exit
  const onEnd = (error: ExtractError | null): void => {
    if (error?.code !== "CONTROL_MALFORMED") return;
    const failure = { type: "process.failed", error: toWireError(error) };
    listener.onFact(failure);
  };
  createLineReader(control, {
    onMessage: (fact) => listener.onFact(fact as { type: string }),
    onEnd,
  });
  if (child.stdout) {
    createLineReader(child.stdout as Readable, {
      lineBytesMax: PROTOCOL_LINE_BYTES_MAX,
      onMessage: (message) => listener.onProtocolMessage(message),
      onEnd,
    });
  }
  let isGone = false;
  const gone = new Promise<void>((resolve) => {
    const leave = (description: string): void => {
      if (isGone) return;
      isGone = true;
      listener.onExit(description);
      resolve();
    };
    child.on("error", (error) => leave(error.message));
    // `close` comes when the last byte of its pipes has been read, so no fact is lost behind an exit
    child.on("close", (code, signal) =>
      leave(signal ? `signal ${signal}` : `exit code ${code}`),
    );
  });
  const pid = child.pid ?? -1;
  return {
    role,
    pid,
    startTime: pid > 0 ? processStartTime(pid) : null,
    send: (order) => {
      if (!isGone && !control.destroyed) writeLine(control, order);
    },
    end: async () => {
      if (!isGone) await terminate(child, gone);
    },
    kill: () => {
      child.kill("SIGKILL");
    },
    leave: async () => {
      if (isGone) return;
      const timer = setTimeout(
        () => void terminate(child, gone),
        KILL_AFTER_MS,
      );
      await gone;
      clearTimeout(timer);
    },
    detach: () => {
      child.unref();
      control.end();
    },
  };
}

async function terminate(
  child: ChildProcess,
  gone: Promise<void>,
): Promise<void> {
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS);
  await gone;
  clearTimeout(timer);
}

/** Takes over a keeper whose bookkeeper has died, by the socket in its folder; null when it is gone. */
export function adoptKeeper(
  socketPath: string,
  {
    pid,
    startTime,
  }: { readonly pid: number; readonly startTime: string | null },
  listener: ChildListener,
): Promise<Child | null> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once("error", () => resolve(null));
    socket.once("connect", () => {
      createLineReader(socket, {
        onMessage: (fact) => listener.onFact(fact as { type: string }),
        onEnd: () => {},
      });
      socket.on("error", () => {});
      socket.on("close", () => listener.onExit("its socket closed"));
      resolve({
        role: "keeper",
        pid,
        startTime,
        send: (order) => {
          if (!socket.destroyed) writeLine(socket, order);
        },
        end: async () => {
          socket.destroy();
        },
        kill: () => {
          if (startTime === null || !isAlive(pid, startTime)) return;
          try {
            process.kill(pid, "SIGKILL");
          } catch {
            // gone in this moment
          }
        },
        leave: async () => {
          socket.destroy();
        },
        detach: () => {
          socket.end();
        },
      });
    });
  });
}
