import { expect, test } from "vitest";
import { createStateMessages } from "../../actors/state-message.ts";
import type { StreamState } from "../../proto/checkpoint.ts";

const state = (index: number, rows: number, stream = 1): StreamState => ({
  stream,
  index,
  done: [0],
  open: [],
  rows,
});
const orders = { namespace: "shop", name: "orders" };

test("a state is a STREAM state of the Airbyte protocol, its count with a decimal point", () => {
  const describe = createStateMessages("source");
  expect(JSON.stringify(describe(orders, state(1, 51_234)))).toBe(
    '{"type":"STATE","state":{"type":"STREAM","stream":{' +
      '"stream_descriptor":{"name":"orders","namespace":"shop"},' +
      '"stream_state":{"stream":1,"index":1,"done":[0],"open":[],"rows":51234}},' +
      '"sourceStats":{"recordCount":51234.0},"id":1,"partition_id":"s1"}}',
  );
});

test("the count is of the rows since the stream's state before", () => {
  const describe = createStateMessages("destination");
  const counts = [
    state(1, 10),
    state(1, 7, 2),
    state(2, 25),
    state(3, 25),
    state(2, 8, 2),
  ].map((one) => {
    const text = JSON.stringify(describe(orders, one));
    return /"destinationStats":\{"recordCount":([\d.]+)\}/.exec(text)?.[1];
  });
  expect(counts).toEqual(["10.0", "7.0", "15.0", "0.0", "1.0"]);
});
