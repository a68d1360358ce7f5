/** Where the source, the destination and the keeper of a run live: in processes of their own, or in threads that they share. */
import type { Role } from "../actors/run/run.machine.ts";
import { startChild, type Child, type ChildListener } from "./processes.ts";

export interface Placement {
  spawn(role: Role, listener: ChildListener): Child;
  /**
   * Waits until the run may open its connections.
   * @throws what `signal` is aborted with
   */
  enter(signal: AbortSignal): Promise<void>;
  /** Nothing is spawned any more; what is left ends by itself. */
  leave(): void;
}

/** Whoever gave the run its permit has counted their connections. */
export const ownProcesses: Placement = {
  spawn: startChild,
  enter: async () => {},
  leave: () => {},
};
