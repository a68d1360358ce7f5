import { expect, test } from "vitest";
import {
  BODIES_HELD_MAX,
  BodyPool,
  POOLED_BYTES_MAX,
} from "../../transport/body-pool.ts";
import type { Body } from "../../transport/body-pool.ts";

function take(pool: BodyPool, bytes: number): Body {
  const body = pool.take(bytes);
  if (body instanceof Promise) return expect.fail("no budget was asked for");
  return body;
}

test("bodies of about one size share their memory, one after the other", () => {
  const pool = new BodyPool({});
  const memories = new Set<ArrayBufferLike>();
  for (let i = 0; i < 100; i++) {
    const first = take(pool, 2_000_000 + i);
    const second = take(pool, 2_000_000 - i);
    expect(first.bytes.buffer).not.toBe(second.bytes.buffer);
    expect(first.bytes.byteLength).toBe(2_000_000 + i);
    memories.add(first.bytes.buffer).add(second.bytes.buffer);
    first.release();
    second.release();
  }
  expect(memories.size).toBe(2);
});

test("a small buffer gives way to a larger one, so the pool holds no more than are in use", () => {
  const pool = new BodyPool({});
  const memories = new Set<ArrayBufferLike>();
  for (const bytes of [1, 1_000_000, 3_000_000, 8_000_000, 5, 7_000_000]) {
    const body = take(pool, bytes);
    memories.add(body.bytes.buffer);
    body.release();
  }
  // four sizes grew one into the other, the last two fit into the largest
  expect(memories.size).toBe(4);
});

test("a body above the pool's size asks the budget and gives it back", async () => {
  const asked: number[] = [];
  const given: number[] = [];
  const pool = new BodyPool({
    reserveBytes: (bytes) => void asked.push(bytes),
    releaseBytes: (bytes) => void given.push(bytes),
  });
  take(pool, POOLED_BYTES_MAX).release();
  expect(asked).toEqual([]);
  const body = take(pool, POOLED_BYTES_MAX + 1);
  expect(asked).toEqual([POOLED_BYTES_MAX + 1]);
  body.release();
  expect(given).toEqual(asked);
});

test("holding too many and releasing twice are our own faults", () => {
  const pool = new BodyPool({});
  const bodies = Array.from({ length: BODIES_HELD_MAX + 1 }, () =>
    take(pool, 10),
  );
  expect(() => pool.take(10)).toThrow("bodies held");
  bodies[0]?.release();
  expect(() => bodies[0]?.release()).toThrow("released once");
  expect(pool.held).toBe(BODIES_HELD_MAX);
});
