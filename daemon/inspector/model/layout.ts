/**
 * Lays a chart out in layers from the top: states on even layers, the labels of what leads from one to the other on odd
 * ones, so that no label lies on a state or on another label. What leads back is turned round for the ranking.
 */

export interface Box {
  readonly id: string;
  readonly width: number;
  readonly height: number;
}

export interface Link {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  /** Of its label. */
  readonly width: number;
  readonly height: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface PlacedBox extends Box, Point {}

export interface PlacedLink {
  readonly id: string;
  /** From the border of the first box to that of the second. */
  readonly points: readonly Point[];
  /** The middle of its label. */
  readonly label: Point;
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  /** `x` and `y` are the upper left corner. */
  readonly boxes: ReadonlyMap<string, PlacedBox>;
  readonly links: ReadonlyMap<string, PlacedLink>;
}

const GAP_X = 26;
const GAP_Y = 18;
const SWEEPS = 12;
const PULLS = 24;

interface Cell {
  readonly id: string;
  readonly rank: number;
  readonly width: number;
  readonly height: number;
  /** Of the layer above and of the one below. */
  readonly up: Cell[];
  readonly down: Cell[];
  /** Middle. */
  x: number;
  y: number;
  weight: number;
}

/** @param first the boxes that stand at the top: the initial state first */
export function layoutGraph(
  boxes: readonly Box[],
  links: readonly Link[],
  first: readonly string[],
): Layout {
  const drawn = links.filter(({ from, to }) => from !== to);
  const forward = orient(boxes, drawn, first);
  const ranks = rankBoxes(boxes, forward);
  const cells = new Map<string, Cell>();
  for (const box of boxes)
    cells.set(box.id, makeCell(box.id, (ranks.get(box.id) ?? 0) * 2, box));
  const chains = new Map<string, Cell[]>();
  const all = [...cells.values()];
  for (const link of forward) {
    const chain = makeChain(link, cells, all);
    chains.set(link.id, chain);
  }
  const layers = groupByRank(all);
  orderLayers(layers);
  placeAcross(layers);
  const height = placeDown(layers);
  const left = Math.min(0, ...all.map((cell) => cell.x - cell.width / 2));
  for (const cell of all) cell.x -= left;
  const width = Math.max(0, ...all.map((cell) => cell.x + cell.width / 2));
  return {
    width,
    height,
    boxes: new Map(
      boxes.map((box) => {
        const cell = given(cells, box.id);
        return [
          box.id,
          {
            ...box,
            x: cell.x - box.width / 2,
            y: cell.y - box.height / 2,
          },
        ];
      }),
    ),
    links: new Map(
      forward.map((link) => [
        link.id,
        route(link, given(chains, link.id), cells),
      ]),
    ),
  };
}

interface Oriented extends Link {
  readonly isTurned: boolean;
}

/** Links that lead back to where the walk came from are turned round. */
function orient(
  boxes: readonly Box[],
  links: readonly Link[],
  first: readonly string[],
): Oriented[] {
  const leaving = new Map<string, Link[]>();
  for (const link of links) {
    const known = leaving.get(link.from);
    if (known) known.push(link);
    else leaving.set(link.from, [link]);
  }
  const state = new Map<string, "open" | "done">();
  const turned = new Set<string>();
  const walk = (id: string): void => {
    state.set(id, "open");
    for (const link of leaving.get(id) ?? []) {
      const met = state.get(link.to);
      if (met === "open") turned.add(link.id);
      else if (met === undefined) walk(link.to);
    }
    state.set(id, "done");
  };
  for (const id of [...first, ...boxes.map((box) => box.id)])
    if (!state.has(id)) walk(id);
  return links.map((link) =>
    turned.has(link.id)
      ? { ...link, from: link.to, to: link.from, isTurned: true }
      : { ...link, isTurned: false },
  );
}

/** The longest way from above; what has nothing above it is drawn down to just over what it leads to. */
function rankBoxes(
  boxes: readonly Box[],
  links: readonly Oriented[],
): Map<string, number> {
  const ranks = new Map(boxes.map((box) => [box.id, 0]));
  for (let pass = 0; pass < boxes.length; pass++) {
    let moved = false;
    for (const { from, to } of links) {
      const wanted = (ranks.get(from) ?? 0) + 1;
      if (wanted > (ranks.get(to) ?? 0)) {
        ranks.set(to, wanted);
        moved = true;
      }
    }
    if (!moved) break;
  }
  for (const box of boxes) {
    if (links.some(({ to }) => to === box.id)) continue;
    const below = links
      .filter(({ from }) => from === box.id)
      .map(({ to }) => ranks.get(to) ?? 0);
    if (below.length > 0) ranks.set(box.id, Math.min(...below) - 1);
  }
  return ranks;
}

function makeCell(
  id: string,
  rank: number,
  size: { readonly width: number; readonly height: number },
): Cell {
  const { width, height } = size;
  return { id, rank, width, height, up: [], down: [], x: 0, y: 0, weight: 0 };
}

/** One cell in each layer between the two; the middle odd one is as large as the label. */
function makeChain(
  link: Oriented,
  cells: ReadonlyMap<string, Cell>,
  all: Cell[],
): Cell[] {
  const from = given(cells, link.from);
  const to = given(cells, link.to);
  const chain: Cell[] = [];
  let middle = Math.floor((from.rank + to.rank) / 2);
  if (middle % 2 === 0) middle += middle + 1 < to.rank ? 1 : -1;
  let above = from;
  for (let rank = from.rank + 1; rank < to.rank; rank++) {
    const size =
      rank === middle
        ? { width: link.width, height: link.height }
        : { width: 8, height: 0 };
    const cell = makeCell(`${link.id}@${rank}`, rank, size);
    connect(above, cell);
    chain.push(cell);
    all.push(cell);
    above = cell;
  }
  connect(above, to);
  return chain;
}

function connect(above: Cell, below: Cell): void {
  above.down.push(below);
  below.up.push(above);
}

function groupByRank(all: readonly Cell[]): Cell[][] {
  const layers: Cell[][] = [];
  for (const cell of all) (layers[cell.rank] ??= []).push(cell);
  return Array.from(layers, (layer) => layer ?? []);
}

/** Each cell goes to the mean place of its neighbours, down and up in turn; the order with the fewest crossings wins. */
function orderLayers(layers: Cell[][]): void {
  let best = layers.map((layer) => [...layer]);
  let fewest = countCrossings(layers);
  for (let sweep = 0; sweep < SWEEPS && fewest > 0; sweep++) {
    const isDown = sweep % 2 === 0;
    const order = isDown ? layers.keys() : [...layers.keys()].reverse();
    for (const rank of order) sortLayer(layers, rank, isDown);
    const crossings = countCrossings(layers);
    if (crossings < fewest) {
      fewest = crossings;
      best = layers.map((layer) => [...layer]);
    }
  }
  best.forEach((layer, rank) => {
    layers[rank] = layer;
  });
}

function sortLayer(layers: Cell[][], rank: number, isDown: boolean): void {
  const layer = layers[rank] ?? [];
  const near = layers[isDown ? rank - 1 : rank + 1];
  if (!near) return;
  const place = new Map(near.map((cell, at) => [cell, at]));
  layer.forEach((cell, at) => {
    const places = (isDown ? cell.up : cell.down).map(
      (one) => place.get(one) ?? 0,
    );
    cell.weight =
      places.length === 0
        ? (at * near.length) / Math.max(1, layer.length)
        : places.reduce((sum, one) => sum + one, 0) / places.length;
  });
  layer.sort((a, b) => a.weight - b.weight);
}

function countCrossings(layers: readonly Cell[][]): number {
  let crossings = 0;
  for (let rank = 0; rank + 1 < layers.length; rank++) {
    const place = new Map(
      (layers[rank + 1] ?? []).map((cell, at) => [cell, at]),
    );
    const ends = (layers[rank] ?? []).flatMap((cell) =>
      cell.down.map((one) => place.get(one) ?? 0).sort((a, b) => a - b),
    );
    for (let i = 0; i < ends.length; i++)
      for (let j = i + 1; j < ends.length; j++)
        if ((ends[j] ?? 0) < (ends[i] ?? 0)) crossings += 1;
  }
  return crossings;
}

/** Cells are pulled to their neighbours' middle and pushed apart, until they lie still. */
function placeAcross(layers: readonly Cell[][]): void {
  for (const layer of layers) {
    let x = 0;
    for (const cell of layer) {
      cell.x = x + cell.width / 2;
      x += cell.width + GAP_X;
    }
    const shift = (x - GAP_X) / 2;
    for (const cell of layer) cell.x -= shift;
  }
  for (let pull = 0; pull < PULLS; pull++)
    for (const rank of pull % 2 === 0
      ? layers.keys()
      : [...layers.keys()].reverse())
      settleLayer(layers[rank] ?? []);
}

/** Wanted places, then the least movement that leaves the gaps: runs of cells that touch move as one. */
function settleLayer(layer: readonly Cell[]): void {
  interface Run {
    readonly cells: { readonly cell: Cell; readonly offset: number }[];
    wanted: number;
    width: number;
  }
  const runs: Run[] = [];
  for (const cell of layer) {
    const near = [...cell.up, ...cell.down];
    const wanted =
      near.length === 0
        ? cell.x
        : near.reduce((sum, one) => sum + one.x, 0) / near.length;
    let run: Run = {
      cells: [{ cell, offset: cell.width / 2 }],
      wanted: wanted - cell.width / 2,
      width: cell.width,
    };
    let before = runs.at(-1);
    while (before && before.wanted + before.width + GAP_X > run.wanted) {
      runs.pop();
      const shift = before.width + GAP_X;
      const count = before.cells.length + run.cells.length;
      run = {
        cells: [
          ...before.cells,
          ...run.cells.map(({ cell: one, offset }) => ({
            cell: one,
            offset: offset + shift,
          })),
        ],
        wanted:
          (before.wanted * before.cells.length +
            (run.wanted - shift) * run.cells.length) /
          count,
        width: shift + run.width,
      };
      before = runs.at(-1);
    }
    runs.push(run);
  }
  for (const run of runs)
    for (const { cell, offset } of run.cells) cell.x = run.wanted + offset;
}

/** @returns the whole height */
function placeDown(layers: readonly Cell[][]): number {
  let y = 0;
  for (const layer of layers) {
    const height = Math.max(0, ...layer.map((cell) => cell.height));
    for (const cell of layer) cell.y = y + height / 2;
    y += height + GAP_Y;
  }
  return Math.max(0, y - GAP_Y);
}

function route(
  link: Oriented,
  chain: readonly Cell[],
  cells: ReadonlyMap<string, Cell>,
): PlacedLink {
  const from = given(cells, link.from);
  const to = given(cells, link.to);
  const label =
    chain.find((cell) => cell.width === link.width && cell.height > 0) ??
    chain[Math.floor(chain.length / 2)] ??
    from;
  const points: Point[] = [
    { x: port(from, from.down, chain[0] ?? to), y: from.y + from.height / 2 },
    ...chain.flatMap((cell) =>
      cell.height > 0
        ? [
            { x: cell.x, y: cell.y - cell.height / 2 },
            { x: cell.x, y: cell.y + cell.height / 2 },
          ]
        : [{ x: cell.x, y: cell.y }],
    ),
    { x: port(to, to.up, chain.at(-1) ?? from), y: to.y - to.height / 2 },
  ];
  return {
    id: link.id,
    points: link.isTurned ? points.reverse() : points,
    label: { x: label.x, y: label.y },
  };
}

/** Where on the box's border the line to this neighbour ends: side by side, in the order of the neighbours. */
function port(cell: Cell, neighbours: readonly Cell[], to: Cell): number {
  const order = [...neighbours].sort((a, b) => a.x - b.x);
  const at = order.indexOf(to);
  const usable = cell.width * 0.72;
  return (
    cell.x - usable / 2 + (usable * (at + 1)) / (Math.max(1, order.length) + 1)
  );
}

function given<Value>(map: ReadonlyMap<string, Value>, id: string): Value {
  const value = map.get(id);
  if (value === undefined) throw new Error(`${id} is no box of this graph`);
  return value;
}
