/** Checkpoints: they become durable in any order, and their states leave by index. */
import { h, replace, setAttribute, setStyle, setText, svg } from "./dom.js";
import { clock, count, duration } from "./format.js";
import { VirtualList } from "./virtual-list.js";

/** @typedef {import("./views.js").Shared} Shared */
/** @typedef {import("../model/checkpoints.ts").CheckpointView} CheckpointView */
/** @typedef {import("../model/checkpoints.ts").StreamCheckpoints} StreamCheckpoints */

/** Checkpoints in the drawing of crossing lines. */
const CROSSING_MAX = 36;

export class CheckpointsView {
  name = "checkpoints";
  title = "Checkpoints";
  /** @type {HTMLElement} */
  element;
  #shared;
  /** @type {number | null} */
  #stream = null;
  #select = h("select", {
    "aria-label": "Stream",
    onchange: () => {
      this.#stream = Number(this.#select.value);
      this.update();
    },
  });
  #summary = h("dl", { class: "figures small-figures" });
  #crossing = h("div", { class: "crossing" });
  #empty = h(
    "p",
    { class: "empty" },
    "Checkpoints appear when the first rows have been made durable.",
  );
  /** @type {VirtualList<CheckpointView>} */
  #list;
  /** Milliseconds, from announced to released. */
  #longest = 1;
  #body;

  /** @param {Shared} shared */
  constructor(shared) {
    this.#shared = shared;
    this.#list = new VirtualList({
      label: "Checkpoints, newest first",
      role: "grid",
      rowRole: "row",
      rowHeight: 32,
      createRow,
      updateRow: (row, item) => this.#updateRow(row, item),
    });
    this.#body = h(
      "div",
      { class: "panel checkpoints" },
      h(
        "div",
        { class: "panel-head" },
        h("h2", {}, "Received against released"),
        h("span", { class: "grow" }),
        this.#select,
      ),
      this.#summary,
      this.#crossing,
      h(
        "p",
        { class: "legend" },
        h(
          "span",
          { class: "legend-item" },
          h("i", { class: "swatch wait" }),
          "on its way",
        ),
        h(
          "span",
          { class: "legend-item" },
          h("i", { class: "swatch held" }),
          "durable, waiting for a lower index",
        ),
        h(
          "span",
          { class: "legend-item" },
          h("i", { class: "swatch good" }),
          "released",
        ),
      ),
      h(
        "div",
        { class: "checkpoint-row table-head", "aria-hidden": "true" },
        h("span", {}, "Index"),
        h("span", {}, "Received"),
        h("span", {}, "Partition"),
        h("span", { class: "num" }, "Rows"),
        h("span", {}, "Until released"),
        h("span", { class: "num" }, "Waited"),
      ),
      this.#list.element,
    );
    this.element = h(
      "div",
      { class: "checkpoints-view" },
      this.#body,
      this.#empty,
    );
  }

  reset() {
    this.#stream = null;
  }

  themeChanged() {}

  update() {
    const { store } = this.#shared;
    if (!store) return;
    const all = [...store.model.checkpoints.streams.values()];
    this.#body.hidden = all.length === 0;
    this.#empty.hidden = all.length > 0;
    if (all.length === 0) return;
    const chosen =
      all.find(({ stream }) => stream === this.#stream) ??
      all.reduce((a, b) => (b.received > a.received ? b : a));
    this.#stream = chosen.stream;
    this.#showStreams(all);
    this.#showSummary(chosen);
    const recent = chosen.recent;
    const now = store.now;
    this.#longest = Math.max(
      1,
      ...recent.map((one) => phasesOf(one, now).released),
    );
    this.#list.setItems([...recent].reverse());
    this.#drawCrossing(recent);
  }

  /** @param {readonly StreamCheckpoints[]} all */
  #showStreams(all) {
    const streams = this.#shared.store?.model.progress.streams;
    const text = all
      .map(({ stream }) => `${stream}${streams?.get(stream)?.name}`)
      .join();
    if (this.#select.dataset["text"] !== text) {
      this.#select.dataset["text"] = text;
      replace(
        this.#select,
        all.map(({ stream }) =>
          h(
            "option",
            { value: stream },
            streams?.get(stream)?.name ?? `stream ${stream}`,
          ),
        ),
      );
    }
    this.#select.value = String(this.#stream);
    this.#select.hidden = all.length < 2;
  }

  /** @param {StreamCheckpoints} of */
  #showSummary(of) {
    const waiting = of.recent.filter(
      (one) => one.durableAt !== null && one.releasedAt === null,
    ).length;
    const figures = [
      ["Received", count(of.received)],
      ["Released", count(of.released)],
      ["Released up to index", count(of.releasedIndex)],
      ["Came out of order", count(of.reordered)],
      ["Held for a lower index", count(waiting)],
    ];
    const text = figures.join();
    if (this.#summary.dataset["text"] === text) return;
    this.#summary.dataset["text"] = text;
    replace(
      this.#summary,
      figures.map(([name = "", value = ""]) =>
        h(
          "div",
          {},
          h("dt", {}, name),
          h("dd", {}, h("span", { class: "figure-value num" }, value)),
        ),
      ),
    );
  }

  /** @param {readonly CheckpointView[]} recent */
  #drawCrossing(recent) {
    const shown = recent
      .filter((one) => one.arrival !== null)
      .slice(-CROSSING_MAX);
    const text = `${this.#crossing.clientWidth}:${shown.map((one) => `${one.index}/${one.arrival}/${one.releasedAt !== null}`).join()}`;
    if (this.#crossing.dataset["text"] === text) return;
    this.#crossing.dataset["text"] = text;
    const width = Math.max(320, this.#crossing.clientWidth);
    const height = 132;
    const top = 34;
    const bottom = height - 34;
    const order = [...shown].sort(
      (a, b) => (a.arrival ?? 0) - (b.arrival ?? 0),
    );
    const step = Math.min(44, (width - 40) / Math.max(1, shown.length));
    const place = (/** @type {number} */ at) => 20 + (at + 0.5) * step;
    const crossed = findCrossed(order);
    const drawing = svg("svg", {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: "img",
      "aria-label": `The last ${shown.length} checkpoints: received in this order ${order.map((one) => one.index).join(", ")}; released by index`,
    });
    drawing.append(
      svg(
        "text",
        { x: 4, y: 12, class: "axis" },
        "received, in order of arrival",
      ),
      svg(
        "text",
        { x: 4, y: height - 4, class: "axis" },
        "released, in order of index",
      ),
    );
    order.forEach((one, at) => {
      const to = shown.indexOf(one);
      const x1 = place(at);
      const x2 = place(to);
      const tone =
        one.releasedAt === null
          ? "pending"
          : crossed.has(one.index)
            ? "crossed"
            : "straight";
      drawing.append(
        svg("path", {
          d: `M${x1} ${top} C${x1} ${(top + bottom) / 2} ${x2} ${(top + bottom) / 2} ${x2} ${bottom}`,
          class: `cross ${tone}`,
        }),
        svg("circle", { cx: x1, cy: top, r: 3.5, class: `cross-dot ${tone}` }),
        svg("circle", {
          cx: x2,
          cy: bottom,
          r: 3.5,
          class: `cross-dot ${tone}`,
        }),
      );
      if (step >= 22)
        drawing.append(
          svg(
            "text",
            { x: x1, y: top - 9, class: "cross-label" },
            String(one.index),
          ),
          svg(
            "text",
            { x: x2, y: bottom + 16, class: "cross-label" },
            String(one.index),
          ),
        );
    });
    replace(this.#crossing, drawing);
  }

  /**
   * @param {HTMLElement} row
   * @param {CheckpointView} item
   */
  #updateRow(row, item) {
    const [index, arrival, partition, rows, bar, waited] =
      /** @type {HTMLElement[]} */ ([...row.children]);
    if (!index || !arrival || !partition || !rows || !bar || !waited) return;
    const now = this.#shared.store?.now ?? 0;
    const { durable, released } = phasesOf(item, now);
    setText(index, String(item.index));
    setText(
      arrival,
      item.isVoid
        ? "void"
        : item.arrival === null
          ? "–"
          : `${item.arrival}${ordinal(item.arrival)}`,
    );
    setAttribute(
      arrival,
      "class",
      item.arrival !== null &&
        item.releasedAt !== null &&
        released - durable > 0 &&
        item.arrival < item.index
        ? "num early"
        : "num",
    );
    setText(
      partition,
      item.partition === null ? "" : `partition ${item.partition}`,
    );
    setText(rows, count(item.rows));
    setStyle(bar, "--begun", "0");
    setStyle(bar, "--durable", (durable / this.#longest).toFixed(4));
    setStyle(bar, "--released", (released / this.#longest).toFixed(4));
    setAttribute(
      bar,
      "class",
      `phases${item.releasedAt === null ? "" : " released"}`,
    );
    bar.title = `announced ${item.announcedAt === null ? "–" : clock(item.announcedAt)}, durable ${item.durableAt === null ? "–" : clock(item.durableAt)}, released ${item.releasedAt === null ? "–" : clock(item.releasedAt)}`;
    setText(
      waited,
      item.durableAt === null ? "" : duration(released - durable),
    );
  }
}

/**
 * Milliseconds from its announcement until it was durable, and until it was released; or until now.
 * @param {CheckpointView} item
 * @param {number} now
 */
function phasesOf(item, now) {
  const begun = item.announcedAt ?? item.durableAt ?? item.releasedAt ?? now;
  const durable = item.durableAt ?? (item.isVoid ? begun : now);
  const released = item.isVoid ? durable : (item.releasedAt ?? now);
  return {
    durable: Math.max(0, durable - begun),
    released: Math.max(0, durable - begun, released - begun),
  };
}

/**
 * Those that another one with a lower index came after.
 * @param {readonly CheckpointView[]} order
 */
function findCrossed(order) {
  /** @type {Set<number>} */
  const crossed = new Set();
  for (const [at, one] of order.entries())
    for (const later of order.slice(at + 1))
      if (later.index < one.index) {
        crossed.add(one.index);
        crossed.add(later.index);
      }
  return crossed;
}

/** @param {number} value */
function ordinal(value) {
  const tens = value % 100;
  if (tens >= 11 && tens <= 13) return "th";
  return ["th", "st", "nd", "rd"][value % 10] ?? "th";
}

function createRow() {
  return h(
    "div",
    { class: "checkpoint-row" },
    h("span", { class: "num", role: "gridcell" }),
    h("span", { class: "num", role: "gridcell" }),
    h("span", { class: "num muted", role: "gridcell" }),
    h("span", { class: "num", role: "gridcell" }),
    h(
      "span",
      { class: "phases", role: "gridcell" },
      h("i", { class: "going" }),
      h("i", { class: "waiting" }),
      h("i", { class: "mark" }),
    ),
    h("span", { class: "num muted", role: "gridcell" }),
  );
}
