import { createActor, fromPromise, sendParent, setup } from "xstate";
import { expect, test } from "vitest";
import { createInspector } from "../../actors/inspect.ts";
import { parseLines } from "../../actors/inspection-lines.ts";

const child = setup({}).createMachine({
  id: "child",
  initial: "waiting",
  states: {
    waiting: { on: { "child.finish": "finished" } },
    finished: { type: "final", entry: sendParent({ type: "child.told" }) },
  },
});

const failing = fromPromise(async () => {
  throw new Error("the disk is full");
});

const parent = setup({
  actors: { child, openFile: failing },
}).createMachine({
  id: "parent",
  type: "parallel",
  states: {
    work: {
      initial: "busy",
      states: { busy: { on: { "child.told": "idle" } }, idle: {} },
      invoke: { id: "child:1", src: "child", systemId: "child" },
    },
    file: {
      initial: "opening",
      states: {
        opening: {
          invoke: { src: "openFile", id: "openFile", onError: "broken" },
        },
        broken: {},
      },
    },
  },
  on: { "worker.fact": {} },
});

function startWatched() {
  const chunks: string[] = [];
  const inspector = createInspector(
    { process: "source", thread: 3 },
    (lines) => {
      chunks.push(lines);
      return true;
    },
  );
  const root = createActor(parent);
  inspector.watch(root);
  const records = () => {
    inspector.flush();
    return chunks.flatMap(parseLines).map(({ at: _, ...rest }) => rest);
  };
  return { root, records };
}

test("an actor is told with its machine, its name and its parent, then its states, who wrote to it, and its end", () => {
  const { root, records } = startWatched();
  root.start();
  const told = root.system.get("child");
  const id = told.sessionId;
  root.send({ type: "worker.fact" } as never);
  told.send({ type: "child.finish" });
  const origin = { process: "source", thread: 3 };
  const ofChild = { ...origin, actor: id, machine: "child" };
  const all = records();
  expect(all.filter(({ actor }) => actor === id)).toEqual([
    { ...ofChild, kind: "actor", name: "child:1", parent: root.sessionId },
    { ...ofChild, kind: "state", state: "waiting" },
    { ...ofChild, kind: "event", event: "child.finish" },
    { ...ofChild, kind: "state", state: "finished" },
    { ...ofChild, kind: "stopped", state: "done" },
  ]);
  const ofRoot = { ...origin, actor: root.sessionId, machine: "parent" };
  expect(all.filter(({ actor }) => actor === root.sessionId)).toEqual([
    { ...ofRoot, kind: "actor", name: root.sessionId },
    {
      ...ofRoot,
      kind: "state",
      state: '{"work":"busy","file":"opening"}',
    },
    { ...ofRoot, kind: "event", event: "child.told", from: id },
    {
      ...ofRoot,
      kind: "state",
      state: '{"work":"idle","file":"opening"}',
    },
    {
      ...ofRoot,
      kind: "event",
      event: "xstate.done.actor.child:1",
      from: id,
    },
  ]);
});

test("an effect that fails says why", async () => {
  const { root, records } = startWatched();
  root.start();
  await expect
    .poll(() => records().some(({ kind }) => kind === "stopped"))
    .toBe(true);
  const all = records();
  expect(all.filter(({ machine }) => machine === "openFile")).toMatchObject([
    { kind: "actor", name: "openFile", parent: root.sessionId },
    { kind: "stopped", state: "error", error: "the disk is full" },
  ]);
});

test("machines that are at work already are told as they stand", () => {
  const root = createActor(parent).start();
  root.system.get("child").send({ type: "child.finish" });
  const chunks: string[] = [];
  const inspector = createInspector(
    { process: "destination", thread: 0 },
    (lines) => chunks.push(lines) > 0,
  );
  inspector.watch(root);
  inspector.flush();
  expect(chunks.flatMap(parseLines)).toMatchObject([
    { kind: "actor", machine: "parent" },
    { kind: "state", machine: "parent" },
    { kind: "actor", machine: "openFile", parent: root.sessionId },
  ]);
});
