/** A run's model as lines of a terminal: streams, sockets, and the tree of its actors. Pure. */
import type { ActorView } from "../inspector/model/actor-tree.ts";
import type { RunModel } from "../inspector/model/run-model.ts";
import { cutText, padText, sanitize, type Paint } from "./terminal.ts";
import { printBytes, printCount, printDuration, printLag } from "./values.ts";

/** Siblings of one kind above which only their states are counted. */
const SIBLINGS_MAX = 8;
const STREAMS_MAX = 20;
const SOCKETS_MAX = 16;
const BAR_CELLS = 16;

export interface TreeView {
  readonly runId: string;
  /** Milliseconds since the Unix epoch; what is open lasts until then. */
  readonly now: number;
  /** Columns; null: as wide as it gets. */
  readonly width: number | null;
  readonly showsOver: boolean;
  readonly paint: Paint;
}

export function renderRun(model: RunModel, view: TreeView): string[] {
  const lines = [
    ...describeHead(model, view),
    ...describeStreams(model, view),
    ...describeSockets(model, view),
    ...describeActors(model, view),
  ];
  const { width } = view;
  return width === null ? lines : lines.map((line) => cutText(line, width));
}

function describeHead(model: RunModel, { runId, now, paint }: TreeView) {
  const { sync, state, error, epoch } = model.run;
  let rows = 0;
  let durable = 0;
  for (const stream of model.progress.streams.values()) {
    rows += Math.max(stream.rows, stream.rowsDurable);
    durable += stream.rowsDurable;
  }
  const elapsed = model.firstAt === null ? 0 : now - model.firstAt;
  const lines = [
    [
      paint.bold(sanitize(sync ?? "run")),
      runId,
      paintState(sanitize(state), paint),
      epoch > 1 ? `attempt ${epoch}` : "",
      `${printCount(durable)} rows durable, ${printCount(rows)} read`,
      printDuration(elapsed),
      (model.log && printLag(model.log, now)) ?? "",
      model.dropped > 0 ? `${printCount(model.dropped)} records lost` : "",
    ]
      .filter((part) => part !== "")
      .join("  "),
  ];
  if (error !== null) lines.push(paint.red(sanitize(error)));
  return lines;
}

function describeStreams(model: RunModel, { paint }: TreeView): string[] {
  const streams = [...model.progress.streams.values()];
  if (streams.length === 0) return [];
  const shown = streams.slice(0, STREAMS_MAX);
  const nameWidth = Math.max(...shown.map(({ name }) => sanitize(name).length));
  return [
    "",
    paint.dim("streams"),
    ...shown.map((stream) => {
      const read = Math.max(stream.rows, stream.rowsDurable);
      const isDone =
        stream.partitions > 0 && stream.partitionsDone === stream.partitions;
      const base = Math.max(stream.rowsPlanned, read, 1);
      return [
        `  ${padText(sanitize(stream.name), nameWidth)}`,
        drawBar(
          isDone ? 1 : stream.rowsDurable / base,
          isDone ? 1 : read / base,
          paint,
        ),
        `${printCount(stream.partitionsDone)}/${printCount(stream.partitions)} partitions`,
        `${printCount(stream.rowsDurable)} rows`,
        paintState(stream.state, paint),
      ].join("  ");
    }),
    ...more(streams.length - shown.length, "stream"),
  ];
}

function drawBar(durable: number, read: number, paint: Paint): string {
  const full = Math.floor(Math.min(1, durable) * BAR_CELLS);
  const pale = Math.max(0, Math.floor(Math.min(1, read) * BAR_CELLS) - full);
  return `${paint.green("█".repeat(full))}${paint.cyan("▒".repeat(pale))}${paint.dim("░".repeat(BAR_CELLS - full - pale))}`;
}

function describeSockets(model: RunModel, { now, paint }: TreeView): string[] {
  const channels = [...model.progress.channels.values()].sort(
    (a, b) => a.channel - b.channel,
  );
  if (channels.length === 0) return [];
  return [
    "",
    paint.dim("sockets"),
    ...channels.slice(0, SOCKETS_MAX).map((channel) => {
      const open = Math.max(1, now - channel.openSince);
      const held =
        channel.pausedMs +
        (channel.pausedSince === null ? 0 : now - channel.pausedSince);
      return [
        `  ${channel.channel}`,
        `${paintState(lastOf(channel.source), paint)} → ${paintState(lastOf(channel.destination), paint)}`,
        printBytes(channel.bytes),
        `held up ${Math.floor((100 * held) / open)}%`,
      ].join("  ");
    }),
    ...more(channels.length - SOCKETS_MAX, "socket"),
  ];
}

function describeActors(model: RunModel, view: TreeView): string[] {
  const actors = [...model.tree.actors.values()].filter(
    ({ isOver }) => view.showsOver || !isOver,
  );
  const known = new Set(actors.map(({ key }) => key));
  const children = new Map<string, ActorView[]>();
  for (const actor of actors) {
    const isRoot = actor.parent === null || !known.has(actor.parent);
    const place = isRoot ? `${actor.process}/${actor.thread}` : actor.parent;
    const siblings = children.get(place ?? "");
    if (siblings) siblings.push(actor);
    else children.set(place ?? "", [actor]);
  }
  const places = [...children.keys()].filter((key) =>
    /^[a-z]+\/\d+$/.test(key),
  );
  if (places.length === 0) return ["", view.paint.dim("no actor is alive")];
  return places.flatMap((place) => {
    const [process = "", thread = "0"] = place.split("/");
    const where = thread === "0" ? process : `${process}, socket ${thread}`;
    return [
      "",
      view.paint.dim(where),
      ...describeSiblings(children.get(place) ?? [], children, view, 1),
    ];
  });
}

function describeSiblings(
  siblings: readonly ActorView[],
  children: ReadonlyMap<string, readonly ActorView[]>,
  view: TreeView,
  level: number,
): string[] {
  const kinds = Map.groupBy(siblings, ({ machine }) => machine);
  const indent = "  ".repeat(level);
  return [...kinds].flatMap(([machine, of]) => {
    if (of.length > SIBLINGS_MAX) {
      const states = [...Map.groupBy(of, ({ state }) => state)]
        .map(([state, those]) => `${printCount(those.length)} ${state}`)
        .join(", ");
      return [
        `${indent}${sanitize(machine)} × ${printCount(of.length)}: ${sanitize(states)}`,
      ];
    }
    return of.flatMap((actor) => [
      `${indent}${describeActor(actor, view)}`,
      ...describeSiblings(
        children.get(actor.key) ?? [],
        children,
        view,
        level + 1,
      ),
    ]);
  });
}

function describeActor(actor: ActorView, { now, paint }: TreeView): string {
  const since = actor.isOver
    ? ""
    : printDuration(Math.max(0, now - actor.since));
  return [
    sanitize(actor.name),
    paintState(sanitize(actor.state || "running"), paint),
    paint.dim(since),
    paint.dim(sanitize(actor.lastEvent)),
  ]
    .filter((part) => part !== "")
    .join("  ");
}

function paintState(state: string, paint: Paint): string {
  const last = lastOf(state);
  if (/failed|broken|error|aborted/i.test(last)) return paint.red(state);
  if (/paused|backingOff|discarding|cancelling|interrupted/i.test(last))
    return paint.yellow(state);
  if (/^(done|succeeded|committed|finished|ended|sealed)$/.test(last))
    return paint.green(state);
  return paint.cyan(state);
}

function lastOf(state: string): string {
  return state.split(".").at(-1) ?? state;
}

function more(count: number, word: string): string[] {
  return count > 0
    ? [`  and ${printCount(count)} more ${word}${count === 1 ? "" : "s"}`]
    : [];
}
