/** The chart of one machine: where it is, and which ways it went. */
import { countTaken, isIn } from "../model/chart.ts";
import { layoutGraph } from "../model/layout.ts";
import { h, replace, setAttribute, svg } from "./dom.js";
import { count, words } from "./format.js";

/** @typedef {import("../model/chart.ts").Chart} Chart */
/** @typedef {import("../model/chart.ts").ChartEdge} ChartEdge */
/** @typedef {import("../model/chart.ts").ChartState} ChartState */
/** @typedef {import("../model/actor-tree.ts").ActorView} ActorView */

const FONT = "12px system-ui, sans-serif";
const NAME_FONT = "600 13px system-ui, sans-serif";
const LINE = 15;
const LABELS_MAX = 3;
const PAD = 14;
const HEAD = 30;
const ANY = "*any";
/** Below this the words are hard to read. */
const SCALE_MIN = 0.8;

/**
 * @typedef {object} Line
 * @property {string} id
 * @property {ChartEdge[]} edges
 * @property {string[]} labels
 * @property {import("../model/layout.ts").PlacedLink} link
 * @property {number} width of its labels
 */

/**
 * @typedef {object} Level
 * @property {string | null} parent
 * @property {import("../model/layout.ts").Layout} layout
 * @property {Line[]} lines
 * @property {Map<string, Level>} inner
 */

const measure = (() => {
  /** @type {CanvasRenderingContext2D | null} */
  let context = null;
  return (/** @type {string} */ text, /** @type {string} */ font) => {
    context ??= document.createElement("canvas").getContext("2d");
    if (!context) return text.length * 7;
    context.font = font;
    return context.measureText(text).width;
  };
})();

export class ChartView {
  /** @type {HTMLElement} */
  element;
  #frame = h("div", {
    class: "chart",
    tabindex: "0",
    role: "group",
    "aria-label": "Chart of the machine",
  });
  #note = h("p", { class: "chart-note muted small" });
  #zoom = h(
    "button",
    {
      class: "chart-zoom",
      "aria-pressed": "false",
      onclick: () => {
        this.#isWhole = !this.#isWhole;
        setAttribute(this.#zoom, "aria-pressed", String(this.#isWhole));
        this.#scale();
        this.#showCurrent();
      },
    },
    "Whole chart",
  );
  #isWhole = false;
  #size = { width: 0, height: 0 };
  /** @type {Chart | null} */
  #chart = null;
  /** @type {Map<string, SVGGElement>} */
  #boxes = new Map();
  /** @type {Map<string, { group: SVGGElement, edges: ChartEdge[], badge: SVGTextElement }>} */
  #lines = new Map();
  /** @type {string} */
  #shown = "";

  constructor() {
    this.element = h(
      "div",
      { class: "chart-wrap" },
      this.#frame,
      this.#zoom,
      this.#note,
    );
  }

  /**
   * @param {Chart | null} chart null: it is no machine
   * @param {ActorView} actor
   */
  update(chart, actor) {
    this.element.hidden = chart === null;
    if (chart === null) return;
    if (chart !== this.#chart) {
      this.#chart = chart;
      this.#draw(chart);
      this.#shown = "";
    }
    const shown = `${actor.key} ${actor.state} ${JSON.stringify(actor.took)}`;
    if (shown === this.#shown) return;
    const isOther = !this.#shown.startsWith(`${actor.key} `);
    this.#shown = shown;
    this.#light(chart, actor);
    if (isOther) {
      this.#scale();
      this.#showCurrent();
    }
  }

  /** @param {Chart} chart */
  #draw(chart) {
    this.#boxes.clear();
    this.#lines.clear();
    const level = layLevel(chart, null);
    const margin = 12;
    const width = level.layout.width + margin * 2;
    const height = level.layout.height + margin * 2 + 16;
    const drawing = svg("svg", {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: "img",
      "aria-label": `Machine ${chart.id} with ${chart.states.length} states`,
    });
    drawing.append(
      svg(
        "defs",
        {},
        ["plain", "taken"].map((kind) =>
          svg(
            "marker",
            {
              id: `arrow-${kind}`,
              class: `arrow ${kind}`,
              viewBox: "0 0 8 8",
              refX: 7,
              refY: 4,
              markerWidth: 7,
              markerHeight: 7,
              orient: "auto-start-reverse",
            },
            svg("path", { d: "M0 0.6 8 4 0 7.4z" }),
          ),
        ),
      ),
    );
    const root = svg("g", { transform: `translate(${margin} ${margin + 14})` });
    drawing.append(root);
    this.#drawLevel(chart, level, root);
    replace(this.#frame, drawing);
    this.#size = { width, height };
    this.#scale();
    const quiet = chart.edges.filter((edge) => edge.to === null).length;
    this.#note.textContent =
      quiet > 0
        ? `Not drawn: ${count(quiet)} event${quiet === 1 ? "" : "s"} that it takes without leaving its state.`
        : "";
  }

  /**
   * @param {Chart} chart
   * @param {Level} level
   * @param {SVGGElement} into
   */
  #drawLevel(chart, level, into) {
    const lines = svg("g", {});
    const boxes = svg("g", {});
    into.append(lines, boxes);
    for (const line of level.lines) this.#drawLine(line, lines);
    for (const [id, box] of level.layout.boxes) {
      const state = chart.states.find(({ path }) => path === id);
      const group = svg("g", {
        class: `state${state ? ` ${state.kind}` : " any"}`,
        transform: `translate(${box.x} ${box.y})`,
      });
      group.append(
        svg("rect", {
          class: "halo",
          x: -4,
          y: -4,
          width: box.width + 8,
          height: box.height + 8,
          rx: 13,
        }),
      );
      group.append(
        svg("rect", {
          class: "box",
          width: box.width,
          height: box.height,
          rx: 9,
        }),
      );
      if (state?.kind === "final")
        group.append(
          svg("rect", {
            class: "inner-box",
            x: 3,
            y: 3,
            width: box.width - 6,
            height: box.height - 6,
            rx: 6.5,
          }),
        );
      const inner = level.inner.get(id);
      const label = state ? words(state.key) : "any state";
      group.append(
        svg(
          "text",
          {
            class: "state-name",
            x: inner ? PAD : box.width / 2,
            y: inner ? 20 : state?.invokes.length ? 18 : box.height / 2 + 4.5,
            "text-anchor": inner ? "start" : "middle",
          },
          label,
        ),
      );
      if (state?.invokes.length && !inner)
        group.append(
          svg(
            "text",
            {
              class: "state-runs",
              x: box.width / 2,
              y: 33,
              "text-anchor": "middle",
            },
            `runs ${state.invokes.join(", ")}`,
          ),
        );
      if (state?.isInitial)
        group.append(
          svg("circle", { class: "initial", cx: -11, cy: 17, r: 3 }),
          svg("path", {
            class: "initial-line",
            d: "M-8 17H-1",
            "marker-end": "url(#arrow-plain)",
          }),
        );
      if (state) {
        group.append(svg("title", {}, describe(chart, state)));
        this.#boxes.set(id, group);
      }
      boxes.append(group);
      if (inner) {
        const place = svg("g", { transform: `translate(${PAD} ${HEAD})` });
        group.append(place);
        this.#drawLevel(chart, inner, place);
      }
    }
  }

  /**
   * @param {Line} line
   * @param {SVGGElement} into
   */
  #drawLine({ id, edges, labels, link, width }, into) {
    const group = svg("g", { class: "edge" });
    group.append(
      svg("path", { d: curve(link.points), "marker-end": "url(#arrow-plain)" }),
    );
    const top = link.label.y - ((labels.length - 1) * LINE) / 2;
    const back = svg("rect", {
      class: "edge-back",
      x: link.label.x - width / 2,
      y: top - LINE / 2 - 1,
      width,
      height: labels.length * LINE,
      rx: 3,
    });
    group.append(back);
    labels.forEach((text, at) =>
      group.append(
        svg(
          "text",
          {
            class: "edge-label",
            x: link.label.x,
            y: top + at * LINE + 4,
            "text-anchor": "middle",
          },
          text,
        ),
      ),
    );
    const badge = svg("text", {
      class: "edge-count",
      x: link.label.x,
      y: top + labels.length * LINE + 3,
      "text-anchor": "middle",
    });
    group.append(badge, svg("title", {}, edges.map(describeEdge).join("\n")));
    into.append(group);
    this.#lines.set(id, { group, edges, badge });
  }

  /**
   * @param {Chart} chart
   * @param {ActorView} actor
   */
  #light(chart, actor) {
    const states = actor.state.split(" + ");
    for (const [path, group] of this.#boxes) {
      const isCurrent = states.includes(path);
      const isAround = !isCurrent && states.some((state) => isIn(state, path));
      const wasHere = Object.keys(actor.took).some((one) =>
        isIn(one.split("\n")[2] ?? "", path),
      );
      const kind =
        chart.states.find((state) => state.path === path)?.kind ?? "";
      setAttribute(
        group,
        "class",
        `state ${kind}${isCurrent ? " current" : isAround ? " around" : wasHere ? " been" : ""}`,
      );
      if (isCurrent) group.setAttribute("aria-current", "true");
      else group.removeAttribute("aria-current");
    }
    const taken = countTaken(chart, actor.took);
    for (const { group, edges, badge } of this.#lines.values()) {
      const times = edges.reduce(
        (sum, edge) => sum + (taken.get(edge.id) ?? 0),
        0,
      );
      setAttribute(group, "class", `edge${times > 0 ? " taken" : ""}`);
      const path = group.querySelector("path");
      if (path)
        setAttribute(
          path,
          "marker-end",
          `url(#arrow-${times > 0 ? "taken" : "plain"})`,
        );
      badge.textContent = times > 0 ? `×${count(times)}` : "";
      const back = group.querySelector(".edge-back");
      if (back) {
        const lines = edges.length === 0 ? 0 : labelsOf(edges).length;
        setAttribute(
          back,
          "height",
          String((lines + (times > 0 ? 1 : 0)) * LINE),
        );
      }
      if (times > 0) group.parentNode?.append(group);
    }
  }

  /** In its own size, or shrunk to what there is room for. */
  #scale() {
    const drawing = this.#frame.firstElementChild;
    if (!drawing) return;
    const { width, height } = this.#size;
    const { clientWidth, clientHeight } = this.#frame;
    const fits = Math.min(1, clientWidth / width);
    const scale = this.#isWhole
      ? Math.min(fits, clientHeight / height)
      : Math.max(Math.min(fits, 1), SCALE_MIN);
    setAttribute(
      drawing,
      "width",
      String(width * (clientWidth > 0 ? scale : 1)),
    );
    setAttribute(
      drawing,
      "height",
      String(height * (clientWidth > 0 ? scale : 1)),
    );
    this.#zoom.hidden = fits * height <= clientHeight && fits > SCALE_MIN;
  }

  #showCurrent() {
    const current = this.#frame.querySelector(".state.current .box");
    if (!current) return;
    const frame = this.#frame.getBoundingClientRect();
    const box = current.getBoundingClientRect();
    this.#frame.scrollTop +=
      box.top + box.height / 2 - frame.top - frame.height / 2;
    this.#frame.scrollLeft +=
      box.left + box.width / 2 - frame.left - frame.width / 2;
  }
}

/**
 * The states inside of one, laid out; what is inside of them first.
 * @param {Chart} chart
 * @param {string | null} parent
 * @returns {Level}
 */
function layLevel(chart, parent) {
  const children = chart.states.filter((state) => state.parent === parent);
  /** @type {Map<string, Level>} */
  const inner = new Map();
  const boxes = children.map((state) => {
    if (chart.states.some((one) => one.parent === state.path)) {
      const level = layLevel(chart, state.path);
      inner.set(state.path, level);
      const width =
        Math.max(level.layout.width, measure(words(state.key), NAME_FONT)) +
        PAD * 2;
      return {
        id: state.path,
        width,
        height: level.layout.height + HEAD + PAD,
      };
    }
    const runs =
      state.invokes.length > 0 ? `runs ${state.invokes.join(", ")}` : "";
    const width =
      Math.max(
        measure(words(state.key), NAME_FONT),
        measure(runs, FONT) * 0.92,
        40,
      ) + 26;
    return { id: state.path, width, height: runs === "" ? 34 : 42 };
  });
  const own = parent ?? "";
  /** @type {Map<string, { from: string, to: string, edges: ChartEdge[] }>} */
  const pairs = new Map();
  for (const edge of chart.edges) {
    const { to } = edge;
    if (to === null) continue;
    const target = children.find(({ path }) => isIn(to, path))?.path;
    if (target === undefined) continue;
    const source =
      edge.from === own
        ? ANY
        : children.find(({ path }) => isIn(edge.from, path))?.path;
    if (source === undefined || source === target) continue;
    const key = `${source}>${target}`;
    const pair = pairs.get(key);
    if (pair) pair.edges.push(edge);
    else pairs.set(key, { from: source, to: target, edges: [edge] });
  }
  const links = [...pairs].map(([key, { from, to, edges }]) => {
    const labels = labelsOf(edges);
    return {
      id: `${own}|${key}`,
      from,
      to,
      edges,
      labels,
      width: Math.max(24, ...labels.map((text) => measure(text, FONT))) + 10,
      // one line more than there are labels: for how often it was taken
      height: (labels.length + 1) * LINE,
    };
  });
  if (links.some(({ from }) => from === ANY))
    boxes.push({ id: ANY, width: 84, height: 30 });
  const initial = children.find(({ isInitial }) => isInitial)?.path;
  const layout = layoutGraph(
    boxes,
    links,
    initial === undefined ? [] : [initial],
  );
  return {
    parent,
    layout,
    inner,
    lines: links.flatMap(({ id, edges, labels, width }) => {
      const link = layout.links.get(id);
      return link ? [{ id, edges, labels, link, width }] : [];
    }),
  };
}

/** @param {ChartEdge[]} edges */
function labelsOf(edges) {
  const all = [
    ...new Set(
      edges.map(
        ({ label, guard, kind }) =>
          label ||
          (guard ? `if ${words(guard)}` : kind === "always" ? "at once" : ""),
      ),
    ),
  ].filter((text) => text !== "");
  if (all.length <= LABELS_MAX) return all;
  return [
    ...all.slice(0, LABELS_MAX - 1),
    `and ${all.length - LABELS_MAX + 1} more`,
  ];
}

/** @param {ChartEdge} edge */
function describeEdge({ from, to, label, guard, actions }) {
  return [
    `${from === "" ? "any state" : from} → ${to}`,
    label === "" ? "at once" : label,
    guard === null ? "" : `if ${words(guard)}`,
    actions.length > 0 ? `does ${actions.map(words).join(", ")}` : "",
  ]
    .filter((part) => part !== "")
    .join("; ");
}

/**
 * @param {Chart} chart
 * @param {ChartState} state
 */
function describe(chart, { path, entry, exit }) {
  const stays = chart.edges.filter(
    (edge) => edge.from === path && edge.to === null,
  );
  return [
    path,
    entry.length > 0 ? `on entry: ${entry.map(words).join(", ")}` : "",
    exit.length > 0 ? `on exit: ${exit.map(words).join(", ")}` : "",
    ...stays.map(
      ({ label, actions }) =>
        `${label}: ${actions.map(words).join(", ") || "nothing"}`,
    ),
  ]
    .filter((line) => line !== "")
    .join("\n");
}

/** @param {readonly import("../model/layout.ts").Point[]} points */
function curve(points) {
  const [first, ...rest] = points;
  if (!first) return "";
  let path = `M${round(first.x)} ${round(first.y)}`;
  let before = first;
  for (const point of rest) {
    if (Math.abs(point.x - before.x) < 0.5)
      path += ` L${round(point.x)} ${round(point.y)}`;
    else {
      const middle = (before.y + point.y) / 2;
      path += ` C${round(before.x)} ${round(middle)} ${round(point.x)} ${round(middle)} ${round(point.x)} ${round(point.y)}`;
    }
    before = point;
  }
  return path;
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
