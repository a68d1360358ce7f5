import fc from "fast-check";
import { expect, test } from "vitest";
import {
  layoutGraph,
  type Box,
  type Link,
} from "../../../../daemon/inspector/model/layout.ts";

const graph = fc
  .record({
    sizes: fc.array(
      fc.record({
        width: fc.integer({ min: 20, max: 200 }),
        height: fc.integer({ min: 20, max: 80 }),
      }),
      { minLength: 1, maxLength: 12 },
    ),
    ends: fc.array(
      fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 10, max: 120 })),
      { maxLength: 24 },
    ),
  })
  .map(({ sizes, ends }) => {
    const boxes: Box[] = sizes.map((size, at) => ({ id: `s${at}`, ...size }));
    const links: Link[] = ends.map(([from, to, width], at) => ({
      id: `l${at}`,
      from: `s${from % boxes.length}`,
      to: `s${to % boxes.length}`,
      width,
      height: 20,
    }));
    return { boxes, links };
  });

interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

function overlap(a: Area, b: Area): boolean {
  const slack = 0.01;
  return (
    a.x + slack < b.x + b.width &&
    b.x + slack < a.x + a.width &&
    a.y + slack < b.y + b.height &&
    b.y + slack < a.y + a.height
  );
}

test("no box lies on a box, no label on a box or a label, and all is inside of the drawing", () =>
  fc.assert(
    fc.property(graph, ({ boxes, links }) => {
      const layout = layoutGraph(boxes, links, ["s0"]);
      const areas: Area[] = [...layout.boxes.values()];
      for (const { id, width, height } of links) {
        const placed = layout.links.get(id);
        if (placed)
          areas.push({
            x: placed.label.x - width / 2,
            y: placed.label.y - height / 2,
            width,
            height,
          });
      }
      for (const [at, one] of areas.entries()) {
        expect(one.x).toBeGreaterThan(-0.01);
        expect(one.x + one.width).toBeLessThan(layout.width + 0.01);
        expect(one.y + one.height).toBeLessThan(layout.height + 0.01);
        for (const other of areas.slice(at + 1))
          expect(overlap(one, other)).toBe(false);
      }
    }),
  ));

test("each line begins and ends at its boxes, also one that leads back", () => {
  const boxes = ["a", "b", "c"].map((id) => ({ id, width: 60, height: 30 }));
  const links = [
    ["a", "b"],
    ["b", "c"],
    ["c", "a"],
  ].map(([from = "", to = ""]) => ({
    id: from + to,
    from,
    to,
    width: 40,
    height: 16,
  }));
  const layout = layoutGraph(boxes, links, ["a"]);
  for (const { id, from, to } of links) {
    const points = layout.links.get(id)?.points ?? [];
    const touches = (
      name: string,
      point: { x: number; y: number } | undefined,
    ) => {
      const box = layout.boxes.get(name);
      if (!box || !point) return false;
      return (
        point.x >= box.x &&
        point.x <= box.x + box.width &&
        (point.y === box.y || point.y === box.y + box.height)
      );
    };
    expect(touches(from, points[0])).toBe(true);
    expect(touches(to, points.at(-1))).toBe(true);
  }
  expect(layout.boxes.get("a")?.y).toBe(0);
});
