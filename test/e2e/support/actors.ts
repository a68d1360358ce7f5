/** The actors of a run as the page sees them, and the orders that its buttons give. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ActorOrder, InspectionRecord } from "../../../proto/control.ts";
import { waitFor, type Destination } from "./command.ts";
import type { Answer, StartedDaemon } from "./daemon.ts";

export interface SeenActor {
  readonly process: string;
  readonly thread: number;
  readonly id: string;
  readonly machine: string;
  readonly name: string;
  /** Empty until it is told. */
  readonly state: string;
  readonly isOver: boolean;
}

export interface WatchedRun {
  readonly runId: string;
  actors(): SeenActor[];
  /** Waits until an actor is as it is wanted. */
  find(
    what: string,
    isWanted: (actor: SeenActor) => boolean,
  ): Promise<SeenActor>;
  order(actor: SeenActor, order: ActorOrder): Promise<Answer>;
}

/** Follows the first run of the sync from its beginning to its end. */
export async function watchRun(
  daemon: StartedDaemon,
  { root }: Destination,
  sync: string,
): Promise<WatchedRun> {
  const { url } = await daemon.ready();
  const file = join(root, ".millrace/daemon.json");
  const { token } = JSON.parse(readFileSync(file, "utf8")) as { token: string };
  const authorization = `Bearer ${token}`;
  const runId = await waitFor(`a run of ${sync}`, () =>
    daemon.events
      .flatMap((event) =>
        event.type === "run.event" &&
        event.sync === sync &&
        event.event.type === "run.started"
          ? [event.event.runId]
          : [],
      )
      .at(-1),
  );
  const run = `${url}/inspector/api/runs/${runId}`;
  const actors = new Map<string, SeenActor>();
  const note = (record: InspectionRecord): void => {
    const { process, thread, actor: id, machine, name, kind, state } = record;
    const key = `${process}/${thread}/${id}`;
    const known = actors.get(key) ?? {
      ...{ process, thread, id, machine },
      ...{ name: name ?? "", state: "", isOver: false },
    };
    if (kind === "actor") actors.set(key, { ...known, name: name ?? "" });
    if (kind === "state") actors.set(key, { ...known, state: state ?? "" });
    if (kind === "stopped") actors.set(key, { ...known, isOver: true });
  };
  const follow = async (): Promise<void> => {
    const { body } = await fetch(`${run}/records`, {
      headers: { authorization },
    });
    let text = "";
    for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ??
      []) {
      const events = (text + chunk).split("\n\n");
      text = events.pop() ?? "";
      for (const event of events) {
        const data = /^data: (.*)$/m.exec(event)?.[1] ?? "{}";
        const { records = [] } = JSON.parse(data) as {
          records?: InspectionRecord[];
        };
        for (const record of records) note(record);
      }
    }
  };
  // a daemon that is told to stop ends the stream
  follow().catch(() => {});
  return {
    runId,
    actors: () => [...actors.values()],
    find: (what, isWanted) =>
      waitFor(what, () => [...actors.values()].find(isWanted)),
    order: async ({ process, thread, id }, order) => {
      const response = await fetch(`${run}/actor-order`, {
        method: "POST",
        headers: { authorization, "content-type": "application/json" },
        body: JSON.stringify({ process, thread, id, order }),
      });
      return { status: response.status, body: await response.json() };
    },
  };
}
