/** Hangs a worker thread of a running process, through Node's own debugger. */
import { setTimeout as sleep } from "node:timers/promises";
import { signal, waitFor, type Running } from "./command.ts";

/** A debugger that does not answer is not there. */
const ANSWER_MS_MAX = 10_000;

interface Reply {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly sessionId?: string };
}

/**
 * SIGUSR1 opens the debugger of the main thread; through it the first worker is told to wait for something that never
 * comes. The main thread goes on undisturbed.
 * @see https://chromedevtools.github.io/devtools-protocol and Node's NodeWorker domain
 */
export async function stallWorker(
  run: Running,
  role: "source" | "destination",
): Promise<void> {
  const before = run.stderr().length;
  signal(run.find(role) ?? -1, "SIGUSR1");
  const url = await waitFor(
    "the debugger's address",
    () => /ws:\/\/\S+/.exec(run.stderr().slice(before))?.[0],
  );
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", reject);
  });
  const session = new Promise<string>((resolve, reject) => {
    setTimeout(reject, ANSWER_MS_MAX, new Error("no worker is known")).unref();
    socket.addEventListener("message", ({ data }) => {
      const { method, params } = JSON.parse(String(data)) as Reply;
      if (method === "NodeWorker.attachedToWorker" && params?.sessionId)
        resolve(params.sessionId);
    });
  });
  socket.send(
    JSON.stringify({
      id: 1,
      method: "NodeWorker.enable",
      params: { waitForDebuggerOnStart: false },
    }),
  );
  const message = JSON.stringify({
    id: 2,
    method: "Runtime.evaluate",
    params: {
      expression:
        "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
    },
  });
  socket.send(
    JSON.stringify({
      id: 3,
      method: "NodeWorker.sendMessageToWorker",
      params: { sessionId: await session, message },
    }),
  );
  // the order is on its way to the thread; the connection ends with the process
  await sleep(100);
}
