/** The line in which runs wait for their connections. */
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { ConnectionQueue } from "../../../daemon/inline/connections.ts";

const SERVER = "postgres://db:5432";

function createQueue(limit: number) {
  const beside = { connections: 0 };
  const told = { free: 0 };
  const queue = new ConnectionQueue({
    limit: () => limit,
    takenBeside: () => beside.connections,
    onFree: () => {
      told.free += 1;
    },
  });
  const entered: string[] = [];
  const enter = (name: string, connections = 3, server = SERVER) => {
    const controller = new AbortController();
    const entering = queue
      .enter(server, connections, controller.signal)
      .then((free) => {
        entered.push(name);
        return free;
      });
    return { entering, stop: () => controller.abort() };
  };
  return { queue, beside, told, entered, enter };
}

test("runs enter in turn, as many as the server may have connections", async () => {
  const { queue, entered, enter } = createQueue(7);
  const [a, b] = [enter("a"), enter("b"), enter("c"), enter("d")];
  await setImmediate();
  expect(entered).toEqual(["a", "b"]);
  expect(queue.figures).toMatchObject({ runs: 2, connections: 6, waiting: 2 });
  (await b?.entering)?.();
  await setImmediate();
  expect(entered).toEqual(["a", "b", "c"]);
  const free = await a?.entering;
  free?.();
  free?.();
  await setImmediate();
  expect(entered).toEqual(["a", "b", "c", "d"]);
  expect(queue.figures).toMatchObject({ runs: 2, connections: 6, waiting: 0 });
});

test("a larger one that waits is passed by nobody, and another server's do not wait for it", async () => {
  const { entered, enter } = createQueue(6);
  const first = enter("first");
  enter("large", 5);
  enter("small", 1);
  enter("elsewhere", 3, "postgres://other:5432");
  await setImmediate();
  expect(entered).toEqual(["first", "elsewhere"]);
  (await first.entering)();
  await setImmediate();
  expect(entered).toEqual(["first", "elsewhere", "large", "small"]);
});

test("more than there may ever be enter alone", async () => {
  const { entered, enter } = createQueue(4);
  const large = enter("large", 5);
  enter("next");
  await setImmediate();
  expect(entered).toEqual(["large"]);
  (await large.entering)();
  await setImmediate();
  expect(entered).toEqual(["large", "next"]);
});

test("what waits and is stopped leaves the line, and lets those behind it in", async () => {
  const { queue, entered, enter } = createQueue(4);
  enter("first", 2);
  const large = enter("large", 4);
  enter("small", 2);
  large.stop();
  await expect(large.entering).rejects.toThrow("aborted");
  await setImmediate();
  expect(entered).toEqual(["first", "small"]);
  expect(queue.figures).toMatchObject({ runs: 2, waiting: 0 });
});

test("what processes have counts as well, and is looked at again when they end", async () => {
  const { queue, beside, entered, enter } = createQueue(6);
  beside.connections = 4;
  enter("waits");
  await setImmediate();
  expect(entered).toEqual([]);
  beside.connections = 0;
  queue.recount();
  await setImmediate();
  expect(entered).toEqual(["waits"]);
});

test("connections that are kept back for processes are given to nobody, until they are taken or let go", async () => {
  const { queue, told, entered, enter } = createQueue(6);
  const [first] = [enter("first"), enter("second")];
  await setImmediate();
  queue.keepBack({ source: SERVER, connections: 6 });
  enter("third");
  (await first?.entering)?.();
  await setImmediate();
  expect(entered).toEqual(["first", "second"]);
  expect(told.free).toBe(1);
  queue.letIn();
  await setImmediate();
  expect(entered).toEqual(["first", "second", "third"]);
});
