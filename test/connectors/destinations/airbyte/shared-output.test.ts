import { expect, test } from "vitest";
import type { LanePeer } from "../../../../connectors/destinations/airbyte/lane.ts";
import { SharedOutput } from "../../../../connectors/destinations/airbyte/shared-output.ts";

/** Two channels that hear each other, and what has left in its order. */
function share() {
  const left: string[] = [];
  const channels = [1, 2].map(
    (channel): SharedOutput =>
      new SharedOutput({
        channel,
        takesTurns: true,
        post: (message: LanePeer) => {
          const [other] = channels.filter(
            (one) => one !== channels[channel - 1],
          );
          other?.hear(message);
        },
        output: async () => ({
          write: async (pieces) => {
            left.push(Buffer.concat(pieces).toString());
          },
          end: async () => {},
          destroy: () => {},
        }),
      }),
  );
  const [first, second] = channels;
  if (!first || !second) throw new Error("two channels");
  return { first, second, left };
}

test("bytes of the channel without an output leave by the other one", async () => {
  const { second, left } = share();
  await second.relay?.write([Buffer.from("a"), Buffer.from("b")]);
  expect(left).toEqual(["ab"]);
});

test("a turn that rows were left behind in goes to nobody else before its end", async () => {
  const { first, second } = share();
  const order: string[] = [];
  await first.takeTurn();
  const waiting = second.takeTurn().then(() => order.push("second"));
  first.leaveTurn();
  const again = first.takeTurn().then(() => order.push("first"));
  await new Promise(setImmediate);
  expect(order).toEqual([]);
  first.finishTurn(true);
  await waiting;
  expect(order).toEqual(["second"]);
  second.leaveTurn();
  second.finishTurn(false);
  await again;
  expect(order).toEqual(["second", "first"]);
});

test("a turn without rows goes on for whoever has come into it, and ends where nobody has", async () => {
  const { first, second } = share();
  await first.takeTurn();
  let isSecond = false;
  const waiting = second.takeTurn().then(() => (isSecond = true));
  first.finishTurn(true);
  await new Promise(setImmediate);
  expect(isSecond).toBe(false);
  first.finishTurn(false);
  await waiting;
  // and it has to be asked for anew
  const again = first.takeTurn();
  second.finishTurn(false);
  await again;
});
