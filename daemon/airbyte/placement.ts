/**
 * Where an executable's run lives: in this process, which has the streams that rows come and go by. Source, destination
 * and keeper share a thread, and each channel has one of its own.
 */
import type { Placement } from "../placement.ts";
import { InlinePool } from "../inline/pool.ts";

export interface OwnProcessPlacement extends Placement {
  close(): Promise<void>;
}

export function placeInThisProcess(): OwnProcessPlacement {
  const pool = new InlinePool({ threads: 1, ownChannels: true });
  const seat = pool.place();
  return {
    spawn: (role, listener) => seat.spawn(role, listener),
    enter: async () => {},
    leave: () => {},
    close: () => pool.close(),
  };
}
