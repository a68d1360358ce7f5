/**
 * Processes that are held to limits. The heap of each is bounded by V8, what both hold together is looked at every
 * second: most of it are buffers, which no heap bound sees.
 */
import { readFileSync } from "node:fs";
import type { Role } from "../../actors/run/run.machine.ts";
import type { WireError } from "../../proto/error.ts";
import type { Placement } from "../placement.ts";
import { startChild, type Child, type ChildListener } from "../processes.ts";
import { bindToCpus, type CpuBinding } from "./cpus.ts";
import type { RunLimits } from "./limits.ts";

const WATCHED_EVERY_MS = 1_000;
const MIB = 1024 * 1024;
/** Of the memory of the run: two heaps take half of it at most, and leave the rest to buffers. */
const HEAP_SHARE = 1 / 4;

interface Watched {
  readonly role: Role;
  readonly pid: number;
  readonly listener: ChildListener;
}

/** Bytes; null when the process is gone, or the system does not tell. @see proc_pid_status(5), VmRSS in KiB */
function readResidentBytes(pid: number): number | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
    return kib === undefined ? null : Number(kib) * 1024;
  } catch {
    return null;
  }
}

export class LimitedProcesses implements Placement {
  readonly #limits: RunLimits;
  readonly #warn: (message: string) => void;
  readonly #watched = new Map<Role, Watched>();
  #binding: CpuBinding | null = null;
  #timer: NodeJS.Timeout | null = null;

  /** @param warn what a limit that cannot be kept is told with, once */
  constructor(limits: RunLimits, warn: (message: string) => void) {
    this.#limits = limits;
    this.#warn = warn;
  }

  async enter(): Promise<void> {
    // whoever gave the run its permit has counted its connections
  }

  spawn(role: Role, listener: ChildListener): Child {
    // it holds a snapshot, and neither rows nor a CPU
    if (role === "keeper") return startChild(role, listener);
    const { memoryBytes } = this.#limits;
    const child = startChild(
      role,
      memoryBytes === null ? listener : this.#listen(role, listener),
      {
        prefix: this.#bind(),
        execArgv: memoryBytes === null ? [] : [boundHeap(memoryBytes)],
      },
    );
    if (memoryBytes !== null && child.pid !== null)
      this.#watch({ role, pid: child.pid, listener });
    return child;
  }

  leave(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    this.#watched.clear();
  }

  #bind(): readonly string[] {
    const { cpus } = this.#limits;
    if (cpus === null) return [];
    if (this.#binding === null) {
      this.#binding = bindToCpus(cpus);
      if (this.#binding.warning !== null) this.#warn(this.#binding.warning);
    }
    return this.#binding.prefix;
  }

  /** A heap that is full ends the process, or one of its threads: said by the name of the limit. */
  #listen(role: Role, listener: ChildListener): ChildListener {
    const error = describeHeap(role, this.#limits.memoryBytes ?? 0);
    const fail = (): void => tellFailed(listener, error);
    return {
      onFact: (fact) => {
        if (isHeapFull(fact)) fail();
        else listener.onFact(fact);
      },
      onProtocolMessage: (message) => listener.onProtocolMessage(message),
      onExit: (description) => {
        this.#watched.delete(role);
        // how V8 ends when its heap is full
        if (description === "signal SIGABRT") fail();
        listener.onExit(description);
      },
    };
  }

  #watch(one: Watched): void {
    if (readResidentBytes(one.pid) === null) {
      this.#warn(
        "limits.memory is kept for the heaps only: this system does not tell what a process holds",
      );
      return;
    }
    this.#watched.set(one.role, one);
    if (this.#timer) return;
    this.#timer = setInterval(() => this.#look(), WATCHED_EVERY_MS);
    // whoever waits for the run keeps the process alive
    this.#timer.unref();
  }

  #look(): void {
    const { memoryBytes } = this.#limits;
    const held = [...this.#watched.values()].map((one) => ({
      ...one,
      bytes: readResidentBytes(one.pid) ?? 0,
    }));
    const bytes = held.reduce((sum, one) => sum + one.bytes, 0);
    const [largest] = held.toSorted((a, b) => b.bytes - a.bytes);
    if (memoryBytes === null || !largest || bytes <= memoryBytes) return;
    // once: the run ends by it
    this.#watched.clear();
    const error: WireError = {
      code: "RUN_MEMORY_EXCEEDED",
      message: `${held.map((one) => `${one.role} ${showMib(one.bytes)}`).join(" and ")} hold ${showMib(bytes)}, and limits.memory is ${showMib(memoryBytes)}`,
      details: {
        process: largest.role,
        processBytes: largest.bytes,
        bytes,
        limitBytes: memoryBytes,
      },
    };
    tellFailed(largest.listener, error);
  }
}

function tellFailed(listener: ChildListener, error: WireError): void {
  const failure = { type: "process.failed", error };
  listener.onFact(failure);
}

function heapMib(memoryBytes: number): number {
  return Math.floor((memoryBytes * HEAP_SHARE) / MIB);
}

/** @see `node --v8-options` */
function boundHeap(memoryBytes: number): string {
  return `--max-old-space-size=${heapMib(memoryBytes)}`;
}

/** @see Node.js documentation, "Errors": ERR_WORKER_OUT_OF_MEMORY; only the words cross the pipe */
function isHeapFull(fact: { readonly type: string }): boolean {
  if (fact.type !== "process.failed") return false;
  const { error } = fact as unknown as { readonly error: WireError };
  return /reaching memory limit: JS heap out of memory/.test(error.message);
}

function describeHeap(role: Role, limitBytes: number): WireError {
  return {
    code: "RUN_MEMORY_EXCEEDED",
    message: `the heap of the ${role} process outgrew the ${heapMib(limitBytes)} MiB that limits.memory of ${showMib(limitBytes)} leaves it`,
    details: { process: role, limitBytes },
  };
}

function showMib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`;
}
